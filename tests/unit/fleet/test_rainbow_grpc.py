"""How RainbowScheduler calls: over a server that answers as we want."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import grpc
import pytest

from rainbow_agent.core.errors import (
    RainbowAgentError,
    Rejected,
    Transient,
    Unavailable,
    UsageError,
)
from rainbow_agent.fleet.grpc import errors
from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.rpc import Rpc
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.grpc.stubs import rainbow_pb2
from support.servers import make_graph

Answer = Callable[[Any, Any], Any]
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


class ScriptedServer:
    """A gRPC server that has rainbow's procedures and answers as configured."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[Any] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        by_service: dict[str, dict[str, Any]] = {}
        for rpc in rainbow_rpc.ALL:
            by_service.setdefault(rpc.service, {})[rpc.name] = grpc.unary_unary_rpc_method_handler(
                self._method(rpc),
                request_deserializer=rpc.request.FromString,
                response_serializer=rpc.reply.SerializeToString,
            )
        for name, methods in by_service.items():
            handler = grpc.method_handlers_generic_handler(name, methods)
            self._server.add_generic_rpc_handlers((handler,))
        self.host = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def stop(self) -> None:
        """End it at once."""
        self._server.stop(None).wait()

    def _method(self, rpc: Rpc[Any, Any]) -> Answer:
        def method(request: Any, context: Any) -> Any:
            self.asked.append(request)
            answer = self.answers.get(str(rpc))
            return answer(request, context) if answer else rpc.reply()

        return method


def refuse(code: grpc.StatusCode, text: str = "no") -> Answer:
    def answer(request: Any, context: Any) -> Any:
        context.abort(code, text)

    return answer


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    yield server
    server.stop()


@pytest.fixture
def scheduler(server: ScriptedServer) -> Iterator[RainbowScheduler]:
    server.answers.clear()
    server.asked.clear()
    with closing(RainbowScheduler(server.host, timeout=5.0)) as scheduler:
        yield scheduler


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
def test_every_status_code_is_sorted(
    server: ScriptedServer, scheduler: RainbowScheduler, code: grpc.StatusCode
) -> None:
    """Whatever code a call ends with, it becomes the error of our tree that the table names."""
    assert code in errors.BY_CODE
    server.answers["RainbowScheduler.ReceiveJobs"] = refuse(code, "some words")
    with pytest.raises(errors.BY_CODE[code]) as caught:
        scheduler.receive("blue", "hush-hush", 1)
    assert isinstance(caught.value, RainbowAgentError)
    if code is not grpc.StatusCode.DEADLINE_EXCEEDED:  # the client says it, not the server
        assert "some words" in str(caught.value)
    assert server.host in str(caught.value)


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "UNAUTHENTICATED"])
def test_a_refusal_of_what_stands_before_rainbow_is_not_rainbows(
    server: ScriptedServer, scheduler: RainbowScheduler, code: str
) -> None:
    """It says nothing of our secret, which rainbow denies in other words, and says who it is."""
    server.answers["RainbowScheduler.ReceiveJobs"] = refuse(grpc.StatusCode[code], "RBAC: denied")
    with pytest.raises(Rejected, match="a gateway or service mesh"):
        scheduler.receive("blue", "hush-hush", 1)


def test_a_registration_without_a_secret_is_rejected(
    server: ScriptedServer, scheduler: RainbowScheduler
) -> None:
    """Success without a secret is none: there is nothing to receive with."""
    reply = rainbow_pb2.RegisterResponse(status=rainbow_pb2.RegisterResponse.REGISTER_SUCCESS)
    server.answers["RainbowScheduler.Register"] = lambda *_: reply
    with pytest.raises(Rejected, match="no secret"):
        scheduler.register("blue", "hush-hush", make_graph())


@pytest.mark.parametrize("name", ["", "Blue", "a b", 'a"b', "-a", "a" * 64, "a.b", "secret"])
def test_a_name_that_the_server_would_break_on_is_not_sent(
    server: ScriptedServer, scheduler: RainbowScheduler, name: str
) -> None:
    """A cluster name is checked before any call."""
    with pytest.raises(UsageError):
        scheduler.register(name, "hush-hush", make_graph())
    assert server.asked == []


@pytest.mark.parametrize("kind", CODES, ids=lambda code: code.name)
def test_secrets_are_not_in_errors(
    server: ScriptedServer, scheduler: RainbowScheduler, kind: grpc.StatusCode
) -> None:
    """No error of a call that carries a secret shows it."""
    server.answers["RainbowScheduler.UpdateState"] = refuse(kind)
    with pytest.raises(RainbowAgentError) as caught:
        scheduler.update_state("blue", "hush-hush", {"nodes_free": 1})
    assert "hush-hush" not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_every_call_is_told_with_its_time_and_its_end(server: ScriptedServer) -> None:
    """For the metrics, and for who wants to know when rainbow was last heard of."""
    server.answers.clear()
    told: list[tuple[str, bool, Exception | None]] = []

    def note(method: str, seconds: float, error: Exception | None) -> None:
        told.append((method, 0 <= seconds < 5, error))

    with closing(RainbowScheduler(server.host, timeout=5.0, on_call=note)) as scheduler:
        scheduler.receive("blue", "secret", 1)
        server.answers[str(rainbow_rpc.ACCEPT_JOBS)] = refuse(grpc.StatusCode.UNAVAILABLE)
        with pytest.raises(Unavailable) as caught:
            scheduler.accept("blue", "secret", [1])
    assert told == [("ReceiveJobs", True, None), ("AcceptJobs", True, caught.value)]


def test_nothing_listens_is_unavailable() -> None:
    """A scheduler that is not there is an error that may pass, and says where it was sought."""
    with (
        closing(RainbowScheduler("127.0.0.1:1", timeout=5.0)) as scheduler,
        pytest.raises(
            Unavailable, match=r"^rainbow at 127\.0\.0\.1:1 does not answer: connection refused$"
        ),
    ):
        scheduler.receive("blue", "hush-hush", 1)


def test_a_server_that_hangs_is_given_up_and_called_again(server: ScriptedServer) -> None:
    """A call ends after the timeout as transient; later ones go over a new connection."""
    release = threading.Event()
    reply = rainbow_pb2.ReceiveJobsResponse()

    def hang(*_: Any) -> Any:
        release.wait(60)
        return reply

    server.answers["RainbowScheduler.ReceiveJobs"] = hang
    with closing(RainbowScheduler(server.host, timeout=0.3)) as scheduler:
        with pytest.raises(Transient, match="does not answer: no answer in time"):
            scheduler.receive("blue", "hush-hush", 1)
        release.set()
        assert _insist(lambda: scheduler.receive("blue", "hush-hush", 1)) == []
        scheduler.close()
        assert _insist(lambda: scheduler.receive("blue", "hush-hush", 1)) == []


def _insist(call: Callable[[], Any]) -> Any:
    """A short timeout may be too short on a busy machine: call until it is not."""
    deadline = time.monotonic() + 30
    while True:
        try:
            return call()
        except Unavailable:
            if time.monotonic() > deadline:
                raise


def test_the_number_of_jobs_goes_down_until_they_fit(
    server: ScriptedServer, scheduler: RainbowScheduler
) -> None:
    """Only a reply that is too large makes us ask for less; other refusals end the call."""
    large = refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "Received message larger than max")
    fits = rainbow_pb2.ReceiveJobsResponse(jobs={1: "{}"})
    server.answers["RainbowScheduler.ReceiveJobs"] = lambda request, context: (
        fits if 0 < request.maxJobs <= 10 else large(request, context)
    )
    assert len(scheduler.receive("blue", "hush-hush", 0)) == 1
    assert [request.maxJobs for request in server.asked] == [0, 32, 1]


def test_the_matcher_gets_only_what_it_reads(
    server: ScriptedServer, scheduler: RainbowScheduler
) -> None:
    """Commands, attributes and the like stay here: the real server fails on their types."""
    jobspec = {
        "version": 1,
        "tasks": [{"command": "one string"}],
        "requires": {"soft": [{"name": "spack", "field": "ior", "min": 3.0, "max": None}]},
        "resources": {
            "r": {
                "type": "node",
                "replicas": 2,
                "attributes": {"duration": "5m"},
                "requires": "soft",
                "with": [{"type": "core", "count": 4, "colour": "blue"}],
            }
        },
    }
    with pytest.raises(Rejected):  # the scripted reply has no status
        scheduler.satisfy(jobspec)
    (asked,) = server.asked
    assert asked.matcher == "match"
    assert json.loads(asked.payload)["resources"] == {
        "r": {
            "label": "r",
            "type": "node",
            "replicas": 2,
            "requires": [{"name": "spack", "field": "ior", "min": "3.0"}],
            "with": [{"type": "core", "count": 4}],
        }
    }
