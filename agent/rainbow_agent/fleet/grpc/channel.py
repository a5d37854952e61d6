"""Calls over one gRPC channel: opened when needed, cut short by a stop, its failures sorted.

Importing this module imports grpc (0.1 s).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.message import DecodeError

from rainbow_agent.core.errors import Rejected, Unavailable, UsageError
from rainbow_agent.fleet.grpc import errors
from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.quiet_grpc import grpc
from rainbow_agent.fleet.grpc.rpc import ReplyT, RequestT, Rpc
from rainbow_agent.fleet.grpc.tls import Stamp, TlsFiles, speaks_tls
from rainbow_agent.runtime.stop import Patience, Stop

if TYPE_CHECKING:
    from rainbow_agent.fleet.grpc.oversized_reply import Head

log = logging.getLogger(__name__)

#: A channel that was given up must not leave its broken connection to the next one.
_OPTIONS: Final = (("grpc.use_local_subchannel_pool", 1),)

#: After these the next call opens a new connection. UNAVAILABLE: a channel waits up to two minutes
#: between attempts and refuses calls meanwhile; when to try again is the caller's to decide.
#: DEADLINE_EXCEEDED: the connection may be dead without anyone having said so (a node that
#: vanished), which TCP would notice in a quarter of an hour; the Go server forbids pings.
_START_OVER: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED})

#: What is still called after a stop: it tells rainbow what was done. All else is new work.
_FAREWELL: Final = frozenset({rainbow_rpc.ACCEPT_JOBS.path, rainbow_rpc.UPDATE_STATE.path})
#: Given up as late as can be, since its answer comes once only: the cluster's secret.
_PRECIOUS: Final = rainbow_rpc.REGISTER.path
#: Seconds that it may take at least, however short others may take.
_LONG: Final = 30.0


class ReplyTooLarge(Rejected):
    """What was asked for does not fit into one reply."""


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
    ) -> None:
        self._host = host
        self._on_call = on_call
        self._timeout = timeout
        self._stop = stop
        self._options: tuple[tuple[str, Any], ...] = (
            ("grpc.max_receive_message_length", max_reply),
            *_OPTIONS,
        )
        if tls is not None and tls.name:
            self._options += (("grpc.ssl_target_name_override", tls.name),)
        self._channel: grpc.Channel | None = None
        self._tls = tls
        self._stamp: Stamp | None = None

    def head(self, rpc: Rpc[RequestT, Any], request: RequestT, most: int) -> Head:
        """One call, told to `on_call`, of whose reply only the beginning is taken.

        Raises:
            RainbowAgentError: as call().
        """
        from rainbow_agent.fleet.grpc.oversized_reply import head_of_reply  # noqa: PLC0415 - h2: rare

        began, failure = time.monotonic(), None
        try:
            return head_of_reply(
                rpc,
                request.SerializeToString(),
                host=self._host,
                tls=self._tls,
                most=most,
                patience=Patience(self._timeout + 1.0, self._stop),
            )
        except Exception as exc:
            failure = exc
            raise
        finally:
            self._on_call(rpc.name, time.monotonic() - began, failure)

    def close(self) -> None:
        """End the connection; a later call opens a new one."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def call(self, rpc: Rpc[RequestT, ReplyT], request: RequestT) -> ReplyT:
        """One call, told to `on_call`.

        Raises:
            RainbowAgentError: of the class that rainbow_errors gives it.
        """
        if self._stop is not None and self._stop.is_set() and rpc.path not in _FAREWELL:
            raise Unavailable(f"{rpc} at rainbow {self._host}: not begun, the agent is stopping")
        began, failure = time.monotonic(), None
        try:
            return self._ask(rpc, request)
        except Exception as exc:
            failure = exc
            raise
        finally:
            self._on_call(rpc.name, time.monotonic() - began, failure)

    def _ask(self, rpc: Rpc[RequestT, ReplyT], request: RequestT) -> ReplyT:
        # Read here, not by gRPC, which would write a traceback of what it cannot read into our log.
        method = self._open(rpc).unary_unary(
            rpc.path, request_serializer=rpc.request.SerializeToString
        )
        try:
            raw = self._answer(rpc, method, request)
        except grpc.RpcError as exc:
            raise self._failure(rpc, exc.code(), exc.details() or "") from exc
        try:
            reply = rpc.reply.FromString(raw)
        except DecodeError as exc:
            raise Rejected(
                f"{rpc} at rainbow {self._host}: the answer ({len(raw)} bytes) is not a"
                f" {rpc.reply.DESCRIPTOR.name}: {exc}; is it rainbow that listens there?"
            ) from exc
        errors.check_status(rpc, self._host, reply)
        return reply

    def _open(self, rpc: Rpc[Any, Any]) -> grpc.Channel:
        """The channel; another one when the certificates changed.

        Raises:
            Unavailable: they cannot be used now, and there is no channel from before.
        """
        if self._tls is None:
            if self._channel is None:
                self._channel = grpc.insecure_channel(self._host, options=self._options)
            return self._channel
        stamp = self._tls.stamp()
        if self._channel is not None and stamp == self._stamp:
            return self._channel
        try:
            ca, cert, key = self._tls.read()
        except UsageError as exc:
            if self._channel is None:
                raise Unavailable(f"{rpc} at rainbow {self._host}: {exc}") from exc
            self._stamp = stamp  # half replaced, perhaps: the next change is looked at again
            log.warning("The old certificates are still used: %s", exc, extra={"action": "tls"})
            return self._channel
        if self._channel is not None:
            log.info("The TLS files changed and were read again", extra={"action": "tls_read"})
        self.close()
        credentials = grpc.ssl_channel_credentials(ca, key, cert)
        self._channel = grpc.secure_channel(self._host, credentials, options=self._options)
        self._stamp = stamp
        return self._channel

    def _why(self, code: grpc.StatusCode) -> str:
        """What of TLS may be the reason for a call that did not get through; "" for nothing."""
        if code is not grpc.StatusCode.UNAVAILABLE or (self._stop and self._stop.is_set()):
            return ""
        if self._tls is not None:
            return self._tls.why_not(self._host)
        if speaks_tls(self._host):
            return "the server speaks TLS: set RAINBOW_TLS_CA, RAINBOW_TLS_CERT and RAINBOW_TLS_KEY"
        return ""

    def _answer(self, rpc: Rpc[RequestT, Any], method: Any, request: RequestT) -> bytes:
        """The reply, waited for so long and not longer; a stop shortens that.

        Raises:
            grpc.RpcError: as gRPC says.
            Unavailable: given up because of a stop.
        """
        timeout = max(self._timeout, _LONG) if rpc.path == _PRECIOUS else self._timeout
        if self._stop is None:
            reply: bytes = method(request, timeout=timeout)
            return reply
        call, done = method.future(request, timeout=timeout), threading.Event()
        call.add_done_callback(lambda _: done.set())
        longest = {"after": float("inf")} if rpc.path == _PRECIOUS else {}
        patience = Patience(timeout + 1.0, self._stop, **longest)
        while not done.wait(patience.glance()):
            if patience.left() <= 0:
                call.cancel()
                self.close()
                raise Unavailable(
                    f"{rpc} at rainbow {self._host}: no answer yet, and the agent is stopping"
                )
        answer: bytes = call.result()
        return answer

    def _failure(self, rpc: Rpc[Any, Any], code: grpc.StatusCode, text: str) -> Exception:
        if code in _START_OVER:
            self.close()
        if why := self._why(code):
            return Unavailable(f"{rpc} at rainbow {self._host}: {why}")
        failure = errors.from_failure(rpc, self._host, code, text)
        if rpc is rainbow_rpc.RECEIVE_JOBS and errors.is_too_large(code, text):
            return ReplyTooLarge(str(failure))
        return failure
