"""How answers of a rainbow server become errors and offers: a server that says what we want."""

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
from hypothesis import given, settings
from hypothesis import strategies as st

from rainbow_agent.adapters import rainbow_errors, rainbow_rpc
from rainbow_agent.adapters.rainbow_grpc import RainbowScheduler
from rainbow_agent.adapters.rainbow_rows import giant
from rainbow_agent.adapters.rainbow_rows import offer as read_offer
from rainbow_agent.adapters.rainbow_rpc import Rpc
from rainbow_agent.adapters.stubs import rainbow_pb2
from rainbow_agent.errors import (
    ClusterExists,
    ClusterUnknown,
    RainbowAgentError,
    Rejected,
    RequestDenied,
    Transient,
    Unavailable,
    UsageError,
)
from rainbow_agent.testing_servers import make_graph

Answer = Callable[[Any, Any], Any]
CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


class ScriptedServer:
    """A gRPC server that has rainbow's procedures and answers as it is told."""

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
    assert code in rainbow_errors.BY_CODE
    server.answers["RainbowScheduler.ReceiveJobs"] = refuse(code, "some words")
    with pytest.raises(rainbow_errors.BY_CODE[code]) as caught:
        scheduler.receive("blue", "hush-hush", 1)
    assert isinstance(caught.value, RainbowAgentError)
    assert "some words" in str(caught.value)
    assert "ReceiveJobs" in str(caught.value)
    assert server.host in str(caught.value)


def test_what_may_pass_is_transient_and_what_will_not_is_not() -> None:
    """Broken and busy connections are tried again; answers are not."""
    again = {code.name for code, kind in rainbow_errors.BY_CODE.items() if kind is Unavailable}
    assert again == {
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "ABORTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
    }
    assert RequestDenied not in rainbow_errors.BY_CODE.values()


@pytest.mark.parametrize("code", ["PERMISSION_DENIED", "UNAUTHENTICATED"])
def test_a_refusal_of_what_stands_before_rainbow_is_not_rainbows(
    server: ScriptedServer, scheduler: RainbowScheduler, code: str
) -> None:
    """It says nothing of our secret, which rainbow denies in other words, and says who it is."""
    server.answers["RainbowScheduler.ReceiveJobs"] = refuse(grpc.StatusCode[code], "RBAC: denied")
    with pytest.raises(Rejected, match="a gateway or service mesh"):
        scheduler.receive("blue", "hush-hush", 1)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("request denied", RequestDenied),
        ("cluster blue does not exist", ClusterUnknown),
        ("cluster graph blue does not exist", ClusterUnknown),
        ("cluster graph blue to register subsytem does not exist", ClusterUnknown),
        ("cluster graph blue does not have subsystem spack", Rejected),
        ("cluster graph blue already exists and cannot be added again", Rejected),
        ("subsystem spack already exists for cluster blue", Rejected),
        ('near "double": syntax error', Rejected),
        ("one or more jobs must be accepted", Rejected),
        ("no clusters passed selection", Rejected),
        ("the job asks that its request denied be", Rejected),
        ("database is locked", Unavailable),
        ("database table is locked: jobs", Unavailable),
        ("unable to open database file: no such file or directory", Unavailable),
        ("database or disk is full", Unavailable),
        ("disk I/O error", Unavailable),
        ("attempt to write a readonly database", Unavailable),
        ("no such table: clusters", Unavailable),
        ("Stream removed", Unavailable),
        ("", Rejected),
    ],
)
def test_code_unknown_is_sorted_by_its_text(text: str, kind: type[RainbowAgentError]) -> None:
    """The Go server says everything with code UNKNOWN; only its words tell what it means."""
    assert rainbow_errors.sort_failure(grpc.StatusCode.UNKNOWN, text) is kind


def test_texts_count_only_with_their_code() -> None:
    """`request denied` from something between us and rainbow is not rainbow's answer."""
    kind = rainbow_errors.sort_failure(grpc.StatusCode.UNAVAILABLE, "request denied")
    assert kind is Unavailable


@pytest.mark.parametrize(
    "text",
    [
        "grpc: received message larger than max (5000025 vs. 4194304)",
        "SERVER: Received message larger than max (5000025 vs. 4194304)",
    ],
)
def test_a_message_over_the_limit_will_never_pass(text: str) -> None:
    """Too large is not too busy, in the words of either server."""
    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    assert rainbow_errors.sort_failure(code, text) is Rejected
    assert rainbow_errors.sort_failure(code, "too many requests") is Unavailable


@pytest.mark.parametrize("rpc", rainbow_rpc.ALL, ids=str)
def test_every_status_of_every_reply_is_sorted(rpc: Rpc[Any, Any]) -> None:
    """A reply's own status is fine or an error by its name, and an unknown one is an error."""
    numbers = rpc.reply.DESCRIPTOR.fields_by_name["status"].enum_type.values_by_number
    said = {value.name: _outcome(rpc, number) for number, value in numbers.items()}
    for name, kind in said.items():
        if name.endswith("DENIED"):
            assert kind is RequestDenied
        elif name.endswith("ERROR"):
            assert kind is Rejected
        elif name.endswith("SUCCESS"):
            assert kind is None
    assert _outcome(rpc, 99) is Rejected


def _outcome(rpc: Rpc[Any, Any], status: int) -> type[RainbowAgentError] | None:
    try:
        rainbow_errors.check_status(rpc, "host:1", rpc.reply(status=status))
    except RainbowAgentError as exc:
        return type(exc)
    return None


@pytest.mark.parametrize(
    ("rpc", "status", "kind"),
    [
        (rainbow_rpc.REGISTER, 4, ClusterExists),
        (rainbow_rpc.REGISTER_SUBSYSTEM, 4, Rejected),
        (rainbow_rpc.DELETE, 0, None),
        (rainbow_rpc.DELETE, 3, None),
        (rainbow_rpc.DELETE_SUBSYSTEM, 3, Rejected),
        (rainbow_rpc.RECEIVE_JOBS, 0, None),
        (rainbow_rpc.ACCEPT_JOBS, 0, Rejected),
        (rainbow_rpc.ACCEPT_JOBS, 1, None),
        (rainbow_rpc.SUBMIT_JOB, 0, Rejected),
        (rainbow_rpc.LOAD_GRAPH, 0, None),
        (rainbow_rpc.SATISFY, 0, Rejected),
    ],
    ids=str,
)
def test_the_same_number_means_different_things(
    rpc: Rpc[Any, Any], status: int, kind: type[RainbowAgentError] | None
) -> None:
    """0 is success for Delete, no jobs for ReceiveJobs, and nothing good for SubmitJob."""
    assert _outcome(rpc, status) is kind


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
        pytest.raises(Unavailable, match=r"127\.0\.0\.1:1"),
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
        with pytest.raises(Transient, match="DEADLINE_EXCEEDED"):
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
        fits if 0 < request.maxJobs <= 100 else large(request, context)
    )
    assert len(scheduler.receive("blue", "hush-hush", 0)) == 1
    assert [request.maxJobs for request in server.asked] == [0, 128, 16]


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


ROW = {"id": 3, "cluster": "blue", "name": "job", "jobspec": "version: 1\n", "command": ""}


def test_a_row_is_an_offer() -> None:
    """The server's JSON becomes an offer; the id is the one that accepting needs."""
    offer = read_offer("blue", 3, json.dumps(ROW))
    assert (offer.id, offer.name, offer.cluster, offer.jobspec) == (
        3,
        "job",
        "blue",
        "version: 1\n",
    )


@pytest.mark.parametrize(
    ("row", "cluster"),
    [
        ("", "blue"),
        ("not json", "blue"),
        ("[" * 100_000, "blue"),
        ("[1]", "blue"),
        (json.dumps({**ROW, "jobspec": 5}), "blue"),
        (json.dumps({**ROW, "jobspec": None}), "blue"),
        (json.dumps({**ROW, "cluster": "green"}), "green"),
        (json.dumps({**ROW, "cluster": 5}), "5"),
        (json.dumps({**ROW, "cluster": None}), "blue"),
        (json.dumps({**ROW, "id": 4}), "blue"),
        (json.dumps({**ROW, "id": "3"}), "blue"),
        (json.dumps({**ROW, "id": None}), "blue"),
        (json.dumps({**ROW, "jobspec": "\ud800"}), "blue"),
    ],
    ids=range(13),
)
def test_a_row_that_is_no_job_keeps_its_text(row: str, cluster: str) -> None:
    """It can be shown, refused and accepted; it never stops the others."""
    offer = read_offer("blue", 3, row)
    assert (offer.id, offer.cluster, offer.jobspec) == (3, cluster, row)
    assert offer.problem


def test_what_no_file_can_hold_is_in_no_offer() -> None:
    """JSON can write half a character; neither UTF-8 nor the ledger can."""
    for field in ("name", "cluster", "jobspec"):
        offer = read_offer("blue", 3, json.dumps({**ROW, field: "a\ud800b"}))
        assert bool(offer.problem) is (field != "name")
        for text in (offer.name, offer.cluster, offer.jobspec, offer.problem):
            text.encode()


@pytest.mark.parametrize("raw", [b"\x12", b"\x12\xff", b"\x12\x04\x08\x01\x12\xff\xff"])
def test_a_giant_answer_that_is_none_is_rejected(raw: bytes) -> None:
    """It ends in the middle of a number, and in an error of ours."""
    with pytest.raises(Rejected, match="no list of jobs"):
        giant("blue", raw)


@settings(deadline=None)  # the machine may be busy, and this is not about time
@given(st.text() | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps))
def test_no_row_is_an_error(row: str) -> None:
    """Whatever a row holds, an offer comes of it."""
    assert read_offer("blue", 1, row).id == 1
