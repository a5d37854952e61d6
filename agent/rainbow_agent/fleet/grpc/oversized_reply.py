"""The beginning of one reply, however large it is: a call that is ended when enough has come.

gRPC hands out a message when all of it is in memory, three times over. This speaks its protocol
(github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md) with h2 for the one call where that is too much, and
holds what it was asked for and no more. Importing this module imports h2; import it when needed.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from rainbow_agent.core.errors import Unavailable
from rainbow_agent.fleet.grpc import errors
from rainbow_agent.fleet.grpc.quiet_grpc import grpc
from rainbow_agent.fleet.grpc.rpc import Rpc
from rainbow_agent.fleet.grpc.tls import TlsFiles
from rainbow_agent.runtime.stop import Patience

#: Bytes that the server may send ahead of what was read.
_WINDOW: Final = 1024 * 1024
#: Bytes read at once.
_READ: Final = 64 * 1024
#: Before each message: whether it is compressed, and its length in four bytes.
_PREFIX: Final = 5


class Head(NamedTuple):
    """The beginning of a message, and how long all of it is, in bytes."""

    data: bytes
    size: int


def head_of_reply(
    rpc: Rpc[Any, Any],
    request: bytes,
    *,
    host: str,
    tls: TlsFiles | None,
    most: int,
    patience: Patience,
) -> Head:
    """Call a procedure; at most `most` bytes of its reply.

    Args:
        rpc: what to call.
        request: its message.
        host: host:port of the server.
        tls: the certificates; None to speak without TLS.
        most: bytes after which no more is read.
        patience: how long it may take.

    Raises:
        RainbowAgentError: as rainbow_errors has it for the status that the server ends it with.
        Unavailable: the connection broke, or it took too long.
    """
    try:
        with _connected(host, tls, patience) as connection:
            call = _Call(connection, patience, most)
            call.send(rpc, request, authority=(tls.name if tls else "") or host, secure=bool(tls))
            return call.head(rpc, host)
    except (OSError, h2.exceptions.ProtocolError) as exc:
        raise Unavailable(f"{rpc} at rainbow {host}: the connection broke: {exc}") from exc


class _Call:
    """One call on a connection of its own."""

    def __init__(self, connection: socket.socket, patience: Patience, most: int) -> None:
        self._socket = connection
        self._patience = patience
        self._most = most
        self._wire = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self._stream = 0
        self._data = bytearray()
        self._over = False
        self._status: dict[str, str] = {}

    def send(self, rpc: Rpc[Any, Any], request: bytes, *, authority: str, secure: bool) -> None:
        """Send the request, all of it: those of rainbow that are used here are small."""
        self._wire.initiate_connection()
        codes = h2.settings.SettingCodes
        self._wire.update_settings({codes.INITIAL_WINDOW_SIZE: _WINDOW, codes.ENABLE_PUSH: 0})
        self._wire.increment_flow_control_window(_WINDOW)
        self._stream = self._wire.get_next_available_stream_id()
        headers = [
            (":method", "POST"),
            (":scheme", "https" if secure else "http"),
            (":path", rpc.path),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("grpc-timeout", f"{max(1, round(self._patience.left()))}S"),
        ]
        self._wire.send_headers(self._stream, headers)
        message = b"\0" + len(request).to_bytes(4, "big") + request
        self._wire.send_data(self._stream, message, end_stream=True)
        self._flush()

    def head(self, rpc: Rpc[Any, Any], host: str) -> Head:
        """Read until there is enough, or all."""
        while not self._over and len(self._data) < _PREFIX + min(self._most, self._size()):
            if self._patience.left() <= 0:
                raise Unavailable(f"{rpc} at rainbow {host}: no answer in time")
            try:
                received = self._socket.recv(_READ)
            except TimeoutError:
                continue  # only a glance at the patience
            if not received:
                raise ConnectionError("the server ended it")
            for event in self._wire.receive_data(received):
                self._take(event)
            self._flush()
        code = int(self._status.get("grpc-status") or 0)
        if code:
            known = next(
                (c for c in grpc.StatusCode if c.value[0] == code), grpc.StatusCode.UNKNOWN
            )
            text = self._status.get("grpc-message", "")
            raise errors.from_failure(rpc, host, known, text)
        if len(self._data) < _PREFIX:
            raise ConnectionError("the answer is not whole")
        self._end()
        return Head(bytes(self._data[_PREFIX : _PREFIX + self._most]), self._size())

    def _size(self) -> int:
        """The message's, once it is known."""
        return int.from_bytes(self._data[1:_PREFIX], "big") if len(self._data) >= _PREFIX else 0

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.DataReceived):
            self._data += event.data or b""
            self._wire.acknowledge_received_data(
                event.flow_controlled_length or 0, event.stream_id or self._stream
            )
        elif isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
            self._status |= {_text(name): _text(value) for name, value in event.headers or ()}
        elif isinstance(event, h2.events.StreamEnded):
            self._over = True
        elif isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated)):
            raise ConnectionError(f"the server ended it ({event.error_code})")

    def _end(self) -> None:
        """Have the server send no more."""
        if not self._over:
            self._wire.reset_stream(self._stream, h2.errors.ErrorCodes.CANCEL)
            self._flush()

    def _flush(self) -> None:
        self._socket.sendall(self._wire.data_to_send())


def _text(value: bytes | str) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


@contextmanager
def _connected(host: str, tls: TlsFiles | None, patience: Patience) -> Iterator[socket.socket]:
    """A connection whose reads end after a glance."""
    address, _, port = host.rpartition(":")
    address = address.strip("[]")
    with socket.create_connection((address, int(port)), max(0.1, patience.left())) as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            plain.settimeout(patience.GLANCE)
            yield plain
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(tls.ca)
        context.load_cert_chain(tls.cert, tls.key)
        context.set_alpn_protocols(["h2"])
        with context.wrap_socket(plain, server_hostname=tls.name or address) as secure:
            secure.settimeout(patience.GLANCE)
            yield secure
