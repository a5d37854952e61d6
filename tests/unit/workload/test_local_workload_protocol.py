"""What clients send to the local workload manager's server, and what they get."""

from __future__ import annotations

import signal
import socket
import threading
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.workload_values import EventKind, SubmitRefused, Submitted
from rainbow_agent.workload.local.server import folder as folders
from rainbow_agent.workload.local.server.client import Channel
from rainbow_agent.workload.local.server.protocol import Op, encode
from support.common import eventually
from support.local_workload import (
    Watched,
    make_jobspec,
    make_submission,
    running_server,
    status,
    watching,
)


@pytest.mark.parametrize(
    "garbage",
    [b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe\n", b"[]\n", b'{"op": "dance"}\n', b'{"op": {}}\n'],
)
def test_garbage_ends_that_connection_only(watched: Watched, folder: Path, garbage: bytes) -> None:
    """A client that talks nonsense gets an error and is dropped; the others notice nothing."""
    with folders.connect(folder) as stranger:
        stranger.setblocking(True)
        stranger.sendall(garbage)
        answer = b""
        while part := stranger.recv(4096):
            answer += part
    assert b'"refused"' in answer
    assert status(watched.end(watched.run(["true"]))) == 0


def test_requests_with_wrong_fields_are_refused_in_words(watched: Watched) -> None:
    """What is no jobspec, or no list of ids, comes back with what is wrong."""
    outcome = watched.submit({"attributes": {}, "version": 9})
    assert isinstance(outcome, SubmitRefused)
    assert "version 9" in outcome.reason
    too_long = watched.submit(make_jobspec(["true", "x" * 17_000_000]))
    assert isinstance(too_long, SubmitRefused)
    assert "bytes long" in too_long.reason
    with pytest.raises(Rejected, match="list of job ids"):
        watched.workload.cancel(["x", {}], "")  # type: ignore[list-item]  # wrong on purpose
    assert status(watched.end(watched.run(["true"]))) == 0


def test_a_client_that_reads_nothing_does_not_hold_up_the_others(
    watched: Watched, folder: Path
) -> None:
    """Journals that are not read wait on disk, not in the server."""
    with folders.connect(folder) as sleeper:
        sleeper.send(encode({"id": 1, "op": Op.JOURNAL.value}))
        never = make_jobspec(["true"], cores=99)  # three events a job, and no process
        for number in range(2000):
            watched.workload.start_submit(make_submission(number, never))
        outcomes = []
        while watched.workload.in_flight():
            outcomes += watched.workload.collect_outcomes(5)
        assert len(outcomes) == 2000
        assert all(isinstance(outcome, Submitted) for outcome in outcomes)
        assert status(watched.end(watched.run(["true"]))) == 0


def submits(number: int) -> bytes:
    """Requests to submit some jobs: more than the server reads at a time."""
    message = {"op": Op.SUBMIT.value, "jobspec": make_jobspec(["true", "x" * 5500])}
    return b"".join(encode({"id": i, **message}) for i in range(number))


def until_settled(channel: Channel) -> list[str]:
    """What a connection gets until its `settle`, of id 7, is answered."""
    seen: list[str] = []

    def settled() -> bool:
        messages = channel.receive(1.0)
        seen.extend(str(message.get("event")) for message in messages)
        return any(message.get("id") == 7 and "result" in message for message in messages)

    eventually(settled, "settle is answered")
    return seen


@pytest.mark.parametrize("half_closed", [False, True])
def test_settle_waits_for_all_that_a_dead_client_sent(folder: Path, half_closed: bool) -> None:
    """Also when the server had not even taken notice of that client's connection."""
    with running_server(folder) as server, closing(channel_to(folder)) as channel:
        channel.send({"id": 1, "op": Op.JOURNAL.value})
        channel.receive(5.0)
        server.send_signal(signal.SIGSTOP)
        try:
            dead = folders.connect(folder)
            dead.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1024 * 1024)
            dead.settimeout(10)
            dead.sendall(submits(50))
            if half_closed:
                dead.shutdown(socket.SHUT_WR)
            else:
                dead.close()
            channel.send({"id": 7, "op": Op.SETTLE.value})
        finally:
            server.send_signal(signal.SIGCONT)
        taken = until_settled(channel).count("submit")
        # Answers to a client that is gone end its connection, and what was not read by then.
        assert taken == 50 if half_closed else 0 < taken <= 50
        dead.close()
        channel.send({"id": 7, "op": Op.SETTLE.value})
        assert "submit" not in until_settled(channel)


def channel_to(folder: Path) -> Channel:
    """A bare connection."""
    return Channel(folders.connect(folder), "the test's server")


def test_settle_does_not_wait_for_the_living(watched: Watched, folder: Path) -> None:
    """Other connections that are open, journals among them, hold nothing up."""
    with closing(channel_to(folder)) as other:
        other.send({"id": 1, "op": Op.JOURNAL.value})
        watched.workload.settle(threading.Event())
        other.send({"id": 7, "op": Op.SETTLE.value})
        until_settled(other)


def test_a_journal_tells_history_then_caught_up_then_news(watched: Watched, folder: Path) -> None:
    """A second journal tells the same, and CAUGHT_UP once, between old and new."""
    old = watched.run(["true"])
    watched.end(old)
    with watching(folder, launch=False) as client:
        client.until(EventKind.CAUGHT_UP)
        assert client.of(old) == watched.of(old)
        new = watched.run(["false"])
        client.end(new)
        kinds = [event.kind for event in client.events]
        assert kinds.count(EventKind.CAUGHT_UP) == 1
        position = kinds.index(EventKind.CAUGHT_UP)
        assert all(event.flux_id == old for event in client.events[:position])
        assert all(event.flux_id == new for event in client.events[position + 1 :])
