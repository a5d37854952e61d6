"""How failures and statuses of a rainbow server become errors of our tree."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from rainbow_agent.core.errors import (
    ClusterExists,
    ClusterUnknown,
    DatabaseLocked,
    GraphExists,
    RainbowAgentError,
    Rejected,
    RequestDenied,
    SubsystemExists,
    SubsystemMissing,
    Unavailable,
)
from rainbow_agent.fleet.grpc import errors
from rainbow_agent.fleet.grpc import rpc as rainbow_rpc
from rainbow_agent.fleet.grpc.rpc import Rpc


def test_what_may_pass_is_transient_and_what_will_not_is_not() -> None:
    """Broken and busy connections are tried again; answers are not."""
    again = {code.name for code, kind in errors.BY_CODE.items() if kind is Unavailable}
    assert again == {
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "ABORTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
    }
    assert RequestDenied not in errors.BY_CODE.values()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("request denied", RequestDenied),
        ("cluster blue does not exist", ClusterUnknown),
        ("cluster graph blue does not exist", ClusterUnknown),
        ("cluster graph blue to register subsytem does not exist", ClusterUnknown),
        ("cluster graph blue does not have subsystem spack", SubsystemMissing),
        ("cluster graph blue already exists and cannot be added again", GraphExists),
        ("subsystem spack already exists for cluster blue", SubsystemExists),
        ('near "double": syntax error', Rejected),
        ("one or more jobs must be accepted", Rejected),
        ("no clusters passed selection", Rejected),
        ("the job asks that its request denied be", Rejected),
        ("subsystem cluster already exists for cluster blue", SubsystemExists),
        ("cluster nodes are required", errors.NodesRequired),
        ("database is locked", DatabaseLocked),
        ("database table is locked: jobs", DatabaseLocked),
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
    assert errors.sort_failure(grpc.StatusCode.UNKNOWN, text) is kind


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            (
                "failed to connect to all addresses; last error: UNKNOWN: ipv4:[::1]:1: Failed"
                " to connect to remote host: connect: Connection refused (111)"
            ),
            "connection refused",
        ),
        ("Stream removed (GOAWAY received; Error code: 0)", "the server, or a load balancer"),
        ("Stream removed (Socket closed)", "the connection was closed"),
        ("DNS resolution failed for rainbow:1", "its name is unknown (DNS)"),
        ("closed for today", "closed for today"),
    ],
)
def test_why_rainbow_does_not_answer_is_one_short_sentence(text: str, reason: str) -> None:
    """Words of gRPC's own are translated; those of a server or a gateway are passed on."""
    code = grpc.StatusCode.UNAVAILABLE
    failure = errors.from_failure(rainbow_rpc.RECEIVE_JOBS, "rainbow:1", code, text)
    assert isinstance(failure, Unavailable)
    assert str(failure).startswith(f"rainbow at rainbow:1 does not answer: {reason}")
    assert len(str(failure)) < 120


def test_texts_count_only_with_their_code() -> None:
    """`request denied` from something between us and rainbow is not rainbow's answer."""
    kind = errors.sort_failure(grpc.StatusCode.UNAVAILABLE, "request denied")
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
    assert errors.sort_failure(code, text) is Rejected
    assert errors.sort_failure(code, "too many requests") is Unavailable


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
        errors.check_status(rpc, "host:1", rpc.reply(status=status))
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
