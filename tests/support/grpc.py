"""For tests: a proxy between agent and rainbow that understands calls, not only bytes.

It answers the next calls of a procedure with a status of gRPC's, before or after the server has had
them, can put other answers in the place of the server's, and keeps what was asked and answered.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import grpc

from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.rpc import Rpc

#: All statuses that are failures, in the order of their numbers.
STATUSES = tuple(sorted(set(grpc.StatusCode) - {grpc.StatusCode.OK}, key=lambda code: code.value))
#: A server that was restarted is found again soon, whatever the size of the messages.
_OPTIONS = (
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 100),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


@dataclass(frozen=True)
class Fault:
    """What a call is answered with."""

    code: grpc.StatusCode
    text: str
    after: bool  # the server had it, and only its answer is lost


@dataclass(frozen=True)
class Call:
    """A call that came, in the order in which they were answered."""

    rpc: str  # as str(Rpc): `RainbowScheduler.ReceiveJobs`
    request: bytes
    reply: bytes | None  # what the server answered; None: it was not asked, or it failed
    status: grpc.StatusCode  # what the agent was answered


class CallProxy:
    """Answers as `target` does, but for what a test asks for. A context manager.

    Args:
        target: host:port of the real server.
    """

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._guard = threading.Lock()
        self._faults: dict[str, deque[Fault]] = {}
        self._lasting: dict[str, Fault] = {}
        self._answers: dict[str, Callable[[bytes], bytes]] = {}
        self.calls: list[Call] = []
        self._server = grpc.server(ThreadPoolExecutor(8), options=(_OPTIONS[3], _OPTIONS[4]))
        self._server.add_generic_rpc_handlers((_AnyMethod(self),))
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def fail(
        self, rpc: Rpc[Any, Any], code: grpc.StatusCode, text: str = "", *, after: bool = False
    ) -> None:
        """Answer one more call of a procedure with a status; the ones before it come first."""
        text = text or f"the proxy says {code.name}"
        with self._guard:
            self._faults.setdefault(rpc.path, deque()).append(Fault(code, text, after))

    def fail_on(self, rpc: Rpc[Any, Any], code: grpc.StatusCode | None, text: str = "") -> None:
        """Answer every call of a procedure with a status from now on; None: no more."""
        with self._guard:
            if code is None:
                self._lasting.pop(rpc.path, None)
            else:
                self._lasting[rpc.path] = Fault(code, text or "from now on", after=False)

    def answer_with(self, rpc: Rpc[Any, Any], change: Callable[[bytes], bytes] | None) -> None:
        """Put what `change` makes of the server's answers in their place; None: no more."""
        with self._guard:
            if change is None:
                self._answers.pop(rpc.path, None)
            else:
                self._answers[rpc.path] = change

    def left(self, *rpcs: Rpc[Any, Any]) -> int:
        """How many failures are still to come; of all procedures when none is named."""
        with self._guard:
            paths = [rpc.path for rpc in rpcs] or list(self._faults)
            return sum(len(self._faults.get(path, ())) for path in paths)

    def seen(self, rpc: Rpc[Any, Any], *, taken: bool = False) -> list[Any]:
        """The requests of a procedure, in order; `taken`: those that the server said yes to."""
        with self._guard:
            calls = [call for call in self.calls if call.rpc == str(rpc)]
        return [
            rpc.request.FromString(call.request)
            for call in calls
            if not taken or call.reply is not None
        ]

    def reports(self) -> list[dict[str, Any]]:
        """What was reported of the cluster, report by report."""
        taken = self.seen(rainbow_rpc.UPDATE_STATE, taken=True)
        return [json.loads(request.payload) for request in taken]

    def report(self) -> dict[str, Any]:
        """The last one; empty when there was none."""
        return next(iter(self.reports()[::-1]), {})

    def __enter__(self) -> CallProxy:  # noqa: PYI034 - typing.Self came with Python 3.11
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.stop(None).wait()
        self._channel.close()

    def handle(self, path: str, request: bytes, context: Any) -> bytes:
        """One call."""
        with self._guard:
            waiting = self._faults.get(path)
            fault = waiting.popleft() if waiting else self._lasting.get(path)
            change = self._answers.get(path)
        reply: bytes | None = None
        code, text = grpc.StatusCode.OK, ""
        if fault is None or fault.after:
            try:
                reply = self._channel.unary_unary(path)(request, timeout=120.0)
            except grpc.RpcError as exc:
                code, text = exc.code(), exc.details() or ""
        if fault is not None:
            code, text = fault.code, fault.text
        with self._guard:
            name = next((str(rpc) for rpc in rainbow_rpc.ALL if rpc.path == path), path)
            self.calls.append(Call(name, request, reply, code))
        if reply is None or code is not grpc.StatusCode.OK:
            context.abort(code, text)  # raises
            raise AssertionError
        return change(reply) if change is not None else reply


class _AnyMethod(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Every procedure, its messages as they come."""

    def __init__(self, proxy: CallProxy) -> None:
        self._proxy = proxy

    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            partial(self._proxy.handle, handler_call_details.method)
        )
