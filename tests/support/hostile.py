"""A server on loopback that speaks HTTP/2 and means no good: each behaviour is one of a table.

Frames are written by hand (RFC 9113), since no library would send them.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final

_DATA, _HEADERS, _RST, _SETTINGS, _PING, _GOAWAY, _WINDOW, _CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
_INITIAL_WINDOW: Final = 4  # the number of SETTINGS_INITIAL_WINDOW_SIZE
_END_STREAM, _END_HEADERS = 0x1, 0x4
_MIB: Final = 1024 * 1024
#: Seconds after which a connection is given up, so that no test leaves one behind.
_CONNECTION_S: Final = 20.0
#: Behaviours of servers that do not acknowledge the client's settings.
_SILENT: Final = frozenset({"endless_headers_without_settings"})


def frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    """One HTTP/2 frame."""
    return (
        struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body
    )


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _field(name: str, value: str) -> bytes:
    """A header field, literal and not indexed, shorter than 127 bytes."""
    return b"\0" + _text(name) + _text(value)


_FIRST_STREAM: Final = struct.pack(">I", 1)
_OPEN: Final = frame(_SETTINGS, 0, 0, b"")
_ACK: Final = frame(_SETTINGS, 1, 0, b"")
_RESPONSE: Final = b"\x88" + _field("content-type", "application/grpc")  # :status 200
_GO_AWAY: Final = frame(_GOAWAY, 0, 0, struct.pack(">II", 0, 0) + b"draining")


def _data(pieces: int, size: int = 16 * 1024) -> Iterator[bytes]:
    for _ in range(pieces):
        yield frame(_DATA, 0, 1, b"x" * size)


def _message(length: int, *, compressed: bool = False) -> bytes:
    """The prefix of a message of gRPC."""
    return bytes([compressed]) + struct.pack(">I", length)


def _varint(value: int) -> bytes:
    """A number as protobuf writes it."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value])


def go_away() -> Iterator[bytes]:
    """What a proxy that drains sends, as soon as somebody connects."""
    yield _OPEN
    yield _GO_AWAY


def go_away_after_headers() -> Iterator[bytes]:
    """Likewise, when the call has begun."""
    yield _OPEN
    yield frame(_HEADERS, _END_HEADERS, 1, _RESPONSE) + _GO_AWAY


def refused_streams() -> Iterator[bytes]:
    """REFUSED_STREAM says that a call may be sent again safely."""
    yield _OPEN
    yield frame(_RST, 0, 1, struct.pack(">I", 7))


def giant_frame() -> Iterator[bytes]:
    """A frame of the largest length that can be written, and its bytes."""
    yield _OPEN
    yield b"\xff\xff\xff" + bytes([_DATA, 0]) + struct.pack(">I", 1)
    for _ in range(256):
        yield b"x" * 65536


def giant_message() -> Iterator[bytes]:
    """A message that says it has 4 GiB, and its beginning."""
    yield _OPEN
    yield frame(_HEADERS, _END_HEADERS, 1, _RESPONSE)
    yield frame(_DATA, 0, 1, _message(0xFFFFFFFF))
    yield from _data(16 * 1024)


def endless_headers() -> Iterator[bytes]:
    """Header blocks that are continued for ever."""
    yield _OPEN
    yield frame(_HEADERS, 0, 1, _RESPONSE)
    block = b"".join(_field(f"x-{i}", "y" * 100) for i in range(100))
    for _ in range(64 * 1024):
        yield frame(_CONTINUATION, 0, 1, block)


def endless_headers_without_settings() -> Iterator[bytes]:
    """Likewise, of a server that never acknowledges the client's limits."""
    yield from endless_headers()


def endless_pings() -> Iterator[bytes]:
    """Each has to be answered."""
    yield _OPEN
    for _ in range(20_000):
        yield frame(_PING, 0, 0, b"12345678") * 64


def endless_settings() -> Iterator[bytes]:
    """Likewise."""
    yield _OPEN
    for _ in range(20_000):
        yield _OPEN * 64


def compressed_message() -> Iterator[bytes]:
    """A small message that would be a gibibyte, taken apart."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = b"".join(packer.compress(bytes(_MIB)) for _ in range(1024)) + packer.flush()
    fields = _RESPONSE + _field("grpc-encoding", "gzip")
    yield _OPEN
    yield frame(_HEADERS, _END_HEADERS, 1, fields)
    whole = _message(len(body), compressed=True) + body
    for at in range(0, len(whole), 16 * 1024):
        yield frame(_DATA, 0, 1, whole[at : at + 16 * 1024])
    yield frame(_HEADERS, _END_HEADERS | _END_STREAM, 1, _field("grpc-status", "0"))


def large_message() -> Iterator[bytes]:
    """A row of 24 MiB, in characters of four bytes, just under the limit of one row."""
    yield _OPEN
    yield frame(_HEADERS, _END_HEADERS, 1, _RESPONSE)
    text = 24 * _MIB
    entry = b"\x08\x01\x12" + _varint(text)
    row = b"\x12" + _varint(len(entry) + text) + entry
    yield frame(_DATA, 0, 1, _message(len(row) + text) + row)
    for _ in range(24 * 64):
        yield frame(_DATA, 0, 1, "🌈".encode() * 4096)
    yield frame(_HEADERS, _END_HEADERS | _END_STREAM, 1, _field("grpc-status", "0"))


def slow_bytes() -> Iterator[bytes]:
    """One byte at a time."""
    for byte in _OPEN + frame(_HEADERS, _END_HEADERS, 1, _RESPONSE):
        yield bytes([byte])
        time.sleep(0.2)


def noise() -> Iterator[bytes]:
    """Bytes that are no HTTP/2 at all."""
    for _ in range(1024):
        yield b"HTTP/1.1 200 OK\r\n" * 4096


BEHAVIOURS: Final[Mapping[str, Callable[[], Iterator[bytes]]]] = {
    make.__name__: make
    for make in (
        go_away,
        go_away_after_headers,
        refused_streams,
        giant_frame,
        giant_message,
        endless_headers,
        endless_headers_without_settings,
        endless_pings,
        endless_settings,
        compressed_message,
        large_message,
        slow_bytes,
        noise,
    )
}


@contextmanager
def hostile_server(behaviour: str) -> Iterator[str]:
    """Serve one of BEHAVIOURS to everyone who connects; yields host:port."""
    make, acknowledges = BEHAVIOURS[behaviour], behaviour not in _SILENT
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, make, acknowledges), daemon=True).start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"


def _serve(
    listener: socket.socket, make: Callable[[], Iterator[bytes]], acknowledges: bool
) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            serving = _Connection(connection, acknowledges=acknowledges)
            threading.Thread(target=serving.run, args=(make,), daemon=True).start()


class _Connection:
    """Sends what it is given; of data no more than the client's windows allow, as it must."""

    def __init__(self, connection: socket.socket, *, acknowledges: bool) -> None:
        self._socket = connection
        self._acknowledges = acknowledges
        self._changed = threading.Condition()
        self._windows = {0: 65535, 1: 65535}
        self._closed = False
        self._sending = threading.Lock()
        self._asked = threading.Event()  # the client has begun its call

    def run(self, make: Callable[[], Iterator[bytes]]) -> None:
        """Until all is sent and the client has left."""
        with self._socket, suppress(OSError, _Closed):
            self._socket.settimeout(_CONNECTION_S)
            reader = threading.Thread(target=self._read, daemon=True)
            reader.start()
            for piece in make():
                if piece[5:9] == _FIRST_STREAM:
                    self._asked.wait(_CONNECTION_S)
                if piece[3:4] == bytes([_DATA]) and len(piece) > 9:
                    self._wait_for_window(len(piece) - 9)
                self._send(piece)
            reader.join(_CONNECTION_S)

    def _send(self, piece: bytes) -> None:
        with self._sending:
            self._socket.sendall(piece)

    def _wait_for_window(self, size: int) -> None:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or min(self._windows.values()) >= size, _CONNECTION_S
            )
            if self._closed:
                raise _Closed
            for stream in self._windows:
                self._windows[stream] -= size

    def _read(self) -> None:
        with suppress(OSError, _Closed):
            self._exactly(24)  # the client's preface
            while True:
                head = self._exactly(9)
                body = self._exactly(int.from_bytes(head[:3], "big"))
                self._take(head[3], head[4], int.from_bytes(head[5:], "big"), body)
        self._asked.set()
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self, kind: int, flags: int, stream: int, body: bytes) -> None:
        with self._changed:
            if kind == _HEADERS:
                self._asked.set()
            if kind == _SETTINGS and not flags and self._acknowledges:
                self._send(_ACK)
            if kind == _WINDOW and stream in self._windows:
                self._windows[stream] += int.from_bytes(body, "big")
            elif kind == _SETTINGS and not flags:
                for at in range(0, len(body), 6):
                    name, value = struct.unpack(">HI", body[at : at + 6])
                    if name == _INITIAL_WINDOW:
                        self._windows[1] += value - 65535
            self._changed.notify_all()

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise _Closed
            data += piece
        return bytes(data)


class _Closed(Exception):
    """The client has left."""
