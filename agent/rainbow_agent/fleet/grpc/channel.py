"""Calls over one gRPC channel: opened when needed, cut short by a stop, its failures sorted.

Importing this module imports grpc (0.1 s).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.message import DecodeError

from rainbow_agent.core.errors import Rejected, Unavailable, UsageError
from rainbow_agent.fleet.grpc import errors
from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.channel_options import channel_options
from rainbow_agent.fleet.grpc.quiet_grpc import grpc
from rainbow_agent.fleet.grpc.rpc import ReplyT, RequestT, Rpc
from rainbow_agent.fleet.grpc.tls import FileStamps, TlsFiles, speaks_tls
from rainbow_agent.runtime.memory import trim
from rainbow_agent.runtime.stop import Deadline, Stop

log = logging.getLogger(__name__)

#: After these the next call opens a new connection. UNAVAILABLE: a channel waits up to two minutes
#: between attempts and refuses calls meanwhile; when to try again is the caller's to decide.
#: DEADLINE_EXCEEDED: the connection may be dead without anyone having said so (a node that
#: vanished), which TCP would notice in a quarter of an hour; the Go server forbids pings.
#: RESOURCE_EXHAUSTED: what is left of an answer that is too large would still be read.
_RECONNECT_AFTER: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)

#: What is still called after a stop: it reports what was done, to rainbow or (as rows) to those who
#: sent jobs, and a row is looked at before it is accepted. All else is new work.
_CALLED_AFTER_STOP: Final = frozenset(
    procedure.path
    for procedure in (
        rainbow_rpc.ACCEPT_JOBS,
        rainbow_rpc.RECEIVE_ROWS,
        rainbow_rpc.SEND,
        rainbow_rpc.SUBMIT_JOB,
        rainbow_rpc.UPDATE_STATE,
    )
)
#: Given up as late as can be, since its answer comes once only: the cluster's secret.
_ANSWERED_ONCE: Final = rainbow_rpc.REGISTER.path
#: It may take that long at least, however short RAINBOW_TIMEOUT is.
_MIN_REGISTER_TIMEOUT_S: Final = 30.0
#: Bytes of a reply for which it is worth a millisecond to have memory given back.
_LARGE_REPLY_BYTES: Final = 4 * 1024 * 1024
#: Added to a call's own timeout before it is given up from here.
_TIMEOUT_MARGIN_S: Final = 1.0


class RainbowChannel:
    """One connection. The arguments are RainbowScheduler's."""

    def __init__(
        self,
        host: str,
        timeout: float,
        *,
        max_reply: int,
        on_call: Callable[[str, float, Exception | None], None],
        stop: Stop | None,
        tls: TlsFiles | None,
        proxy: str = "",
    ) -> None:
        self._host = host
        self._proxy = proxy
        self._on_call = on_call
        self._timeout = timeout
        self._stop = stop
        self._options = channel_options(
            host=host, max_reply_bytes=max_reply, tls_name=tls.name if tls else None, proxy=proxy
        )
        self._channel: grpc.Channel | None = None
        #: The number of this connection; 0: there is none.
        self.connection = 0
        self._opened = 0
        self._tls = tls
        self._stamps: FileStamps | None = None

    def close(self) -> None:
        """End the connection; a later call opens a new one."""
        if self._channel is not None:
            self._channel.close()
            self._channel, self.connection = None, 0

    def call(self, rpc: Rpc[RequestT, ReplyT], request: RequestT, *, wait: float = 0.0) -> ReplyT:
        """One call; its end is passed on to `on_call`, but where there is no such service.

        Args:
            rpc: what is called.
            request: what it gets.
            wait: seconds for which the server may wait before it answers.

        Raises:
            RainbowAgentError: of the class that `errors` gives it.
        """
        if self._stop is not None and self._stop.is_set() and rpc.path not in _CALLED_AFTER_STOP:
            raise Unavailable(f"{rpc} at rainbow {self._host}: not begun, the agent is stopping")
        began = time.monotonic()
        try:
            reply = self._call(rpc, request, wait)
        except errors.NoSuchService:
            raise
        except Exception as exc:
            # Not kept in a variable: the error would hold this frame and the callers', with all
            # that they have received, until the garbage collector comes.
            self._on_call(rpc.name, time.monotonic() - began, exc)
            raise
        self._on_call(rpc.name, time.monotonic() - began, None)
        return reply

    def _call(self, rpc: Rpc[RequestT, ReplyT], request: RequestT, wait: float) -> ReplyT:
        # Read here, not by gRPC, which would write a traceback of what it cannot read into our log.
        method = self._open(rpc).unary_unary(
            rpc.path, request_serializer=rpc.request.SerializeToString
        )
        try:
            raw = self._wait(rpc, method, request, wait)
        except grpc.RpcError as exc:
            raise self._failure(rpc, exc.code(), exc.details() or "") from exc
        if len(raw) >= _LARGE_REPLY_BYTES:
            trim()  # gRPC had it in pieces of 16 KiB, which malloc would keep beside what follows
        try:
            reply = rpc.reply.FromString(raw)
        except DecodeError as exc:
            raise Rejected(
                f"{rpc} at rainbow {self._host}: the answer ({len(raw)} bytes) cannot be read as"
                f" {rpc.reply.DESCRIPTOR.name}: {exc}; does rainbow listen there?"
            ) from exc
        errors.check_status(rpc, self._host, reply)
        return reply

    def _open(self, rpc: Rpc[Any, Any]) -> grpc.Channel:
        """The channel; another one when the certificates changed.

        Raises:
            Unavailable: they cannot be used now, and there is no channel from before.
        """
        target = self._proxy or self._host
        if self._tls is None:
            if self._channel is None:
                self._opened += 1
                self.connection = self._opened
                self._channel = grpc.insecure_channel(target, options=self._options)
            return self._channel
        stamps = self._tls.stamps()
        if self._channel is not None and stamps == self._stamps:
            return self._channel
        try:
            ca, cert, key = self._tls.read()
        except UsageError as exc:
            if self._channel is None:
                raise Unavailable(f"{rpc} at rainbow {self._host}: {exc}") from exc
            self._stamps = stamps  # half replaced, perhaps: the next change is looked at again
            log.warning("The old certificates are still used: %s", exc, extra={"action": "tls"})
            return self._channel
        if self._channel is not None:
            log.info("The TLS files changed and were read again", extra={"action": "tls_read"})
        self.close()
        credentials = grpc.ssl_channel_credentials(ca, key, cert)
        self._opened += 1
        self.connection = self._opened
        self._channel = grpc.secure_channel(target, credentials, options=self._options)
        self._stamps = stamps
        return self._channel

    def _wait(self, rpc: Rpc[RequestT, Any], method: Any, request: RequestT, wait: float) -> bytes:
        """The reply, waited for until the timeout; a stop shortens that.

        Raises:
            grpc.RpcError: as gRPC says.
            Unavailable: given up because of a stop.
        """
        once = rpc.path == _ANSWERED_ONCE
        timeout = max(self._timeout, _MIN_REGISTER_TIMEOUT_S) if once else self._timeout + wait
        if self._stop is None:
            reply: bytes = method(request, timeout=timeout)
            return reply
        call, done = method.future(request, timeout=timeout), threading.Event()
        call.add_done_callback(lambda _: done.set())
        after_stop = {"after": float("inf")} if once else {}
        deadline = Deadline(timeout + _TIMEOUT_MARGIN_S, self._stop, **after_stop)
        while not done.wait(deadline.poll_interval()):
            if deadline.left() <= 0:
                call.cancel()
                self.close()
                raise Unavailable(
                    f"{rpc} at rainbow {self._host}: no answer yet, and the agent is stopping"
                )
        answer: bytes = call.result()
        return answer

    def _failure(self, rpc: Rpc[Any, Any], code: grpc.StatusCode, text: str) -> Exception:
        if code in _RECONNECT_AFTER:
            self.close()
            trim()  # a server that means harm may have sent a lot
        if problem := self._tls_problem(code):
            return Unavailable(f"{rpc} at rainbow {self._host}: {problem}")
        where = f"{self._host} (through the proxy {self._proxy})" if self._proxy else self._host
        return errors.from_failure(rpc, where, code, text)

    def _tls_problem(self, code: grpc.StatusCode) -> str:
        """What of TLS may be the reason for a call that did not get through; "" for nothing."""
        if code is not grpc.StatusCode.UNAVAILABLE or (self._stop and self._stop.is_set()):
            return ""
        if self._tls is not None:
            return self._tls.why_not(self._host, self._proxy)
        if speaks_tls(self._host, self._proxy):
            return "the server speaks TLS: set RAINBOW_TLS_CA, RAINBOW_TLS_CERT and RAINBOW_TLS_KEY"
        return ""
