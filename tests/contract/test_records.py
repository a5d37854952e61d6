"""ports.Records, over the local workload manager and real Flux: events and output of jobs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.ports import Records
from rainbow_agent.core.workload_values import EventKind, OutputPiece
from rainbow_agent.monitoring.remedies import of_message
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.workload.choose import Choice, open_records
from support.common import eventually
from support.places import FOREVER, Client, Place

#: More than any workload manager has here.
NODES = 8


@pytest.fixture
def records(place: Place) -> Iterator[Records]:
    with closing(open_records(Choice(place.kind, place.address, "the test"))) as records:
        yield records


def text(pieces: list[OutputPiece], stream: str) -> bytes:
    return b"".join(piece.data for piece in pieces if piece.stream == stream)


def test_an_eventlog_tells_a_job_from_its_submission_to_its_end(
    client: Client, records: Records
) -> None:
    """By time, with the workload manager's own names and what each event holds."""
    job = client.run(["sh", "-c", "exit 3"])
    client.end(job)
    eventually(lambda: records.eventlog(job)[-1].name == "clean", "it is over")
    events = records.eventlog(job)
    names = [event.name for event in events]
    assert [n for n in names if n in ("submit", "start", "finish", "clean")] == [
        "submit",
        "start",
        "finish",
        "clean",
    ]
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert next(e.context["status"] for e in events if e.name == "finish") == 3 << 8


def test_a_job_is_in_no_queue_where_there_are_none(client: Client, records: Records) -> None:
    """Nor is one that is not known."""
    assert records.queue(client.run(["true"])) == ""
    assert records.queue(2**40) == ""


def test_both_streams_come_as_they_were_written(client: Client, records: Records) -> None:
    """Also what is no text, and what has no newline at its end."""
    job = client.run(["sh", "-c", r"printf 'one\ntwo\377'; echo bad >&2"])
    client.end(job)
    pieces = list(records.output([job], follow=False))
    assert text(pieces, "stdout") == b"one\ntwo\xff"
    assert text(pieces, "stderr") == b"bad\n"
    assert {piece.flux_id for piece in pieces} == {job}


def test_a_folder_that_is_not_there_is_said(
    place: Place, client: Client, records: Records, tmp_path: Path
) -> None:
    """Flux's job shell goes on in /tmp; what it says of that is not lost. The local one fails."""
    absent = str(tmp_path / "absent")
    job = client.run(["pwd"], cwd=absent)
    client.end(job)
    complaints = [str(each.context["message"]) for each in records.complaints(job)]
    output = text(list(records.output([job], follow=False)), "stderr").decode()
    if place.kind == "flux":
        assert any(absent in line for line in complaints)
        assert f"[job shell: {complaints[0]}]\n" in output
        assert of_message(complaints[0]) == of_message("cwd: not there")
    else:
        assert complaints == []
        assert any(absent in str(each.context) for each in records.eventlog(job))


def test_a_shell_that_has_nothing_to_complain_of(client: Client, records: Records) -> None:
    """What a job itself writes, also on standard error, is none of it."""
    job = client.run(["sh", "-c", "echo bad >&2"])
    client.end(job)
    assert records.complaints(job) == []
    assert records.complaints(2**40) == []


def test_a_job_that_nobody_knows_has_nothing(records: Records) -> None:
    """No events and no output; neither is an error."""
    assert records.eventlog(12345) == []
    assert list(records.output([12345], follow=False)) == []


def test_without_follow_a_job_that_runs_is_not_waited_for(client: Client, records: Records) -> None:
    """What it has written so far, and the end."""
    job = client.run(["sh", "-c", "echo now; sleep 600"])
    client.until(EventKind.START, job)
    eventually(lambda: list(records.output([job], follow=False)), "it has written")
    assert text(list(records.output([job], follow=False)), "stdout") == b"now\n"


def test_follow_misses_nothing_of_jobs_that_are_just_ending(
    client: Client, records: Records
) -> None:
    """Flux moves a job's output away at its end: who begins to listen then gets it all the same."""
    jobs = [client.run(["echo", str(n)]) for n in range(12)]
    pieces = list(records.output(jobs, follow=True))
    assert {piece.flux_id: piece.data for piece in pieces} == {
        job: f"{n}\n".encode() for n, job in enumerate(jobs)
    }


def test_follow_goes_on_until_all_are_over(
    client: Client, records: Records, tmp_path: Path
) -> None:
    """Pieces come as they are written; one that never starts is not waited for."""
    gate = tmp_path / "gate"
    first = client.run(["sh", "-c", f"echo one; until test -e {gate}; do sleep 0.05; done; false"])
    second = client.run(["echo", "never"], afterok=[first])
    pieces: list[OutputPiece] = []
    for piece in records.output([first, second], follow=True):
        pieces.append(piece)
        gate.touch()
    assert text(pieces, "stdout") == b"one\n"
    assert {piece.flux_id for piece in pieces} == {first}


def test_a_stop_ends_a_follow(client: Client, place: Place) -> None:
    """The job continues."""
    job = client.run(FOREVER)
    stop = Stop()
    timer = threading.Timer(0.5, stop.set, ("the test",))
    timer.start()
    with closing(open_records(Choice(place.kind, place.address, "the test"), stop)) as records:
        assert list(records.output([job], follow=True)) == []
    timer.join()


def test_the_tail_is_the_end_of_what_was_written(client: Client, records: Records) -> None:
    """Of much the end, of little all; silent, waiting and unknown jobs have none."""
    long = client.run(["sh", "-c", "for i in $(seq 300); do echo line $i; done"])
    short, silent = client.run(["sh", "-c", "echo one; echo bad >&2"]), client.run(["true"])
    for job in (long, short, silent):
        client.end(job)
    tail = records.tail(long, 400)
    assert tail.cut
    assert text(list(tail.pieces), "stdout").endswith(b"line 299\nline 300\n")
    assert len(text(list(tail.pieces), "stdout")) <= 500
    tail = records.tail(short, 400)
    assert (text(list(tail.pieces), "stdout"), tail.cut) == (b"one\n", False)
    assert text(list(tail.pieces), "stderr") == b"bad\n"
    waits = client.run(["true"], afterok=[client.run(FOREVER)])
    for job in (silent, waits, 12345):
        assert records.tail(job, 400).pieces == []


def test_the_tail_of_a_job_that_runs_is_what_it_wrote_so_far(
    client: Client, records: Records
) -> None:
    """It is not waited for."""
    job = client.run(["sh", "-c", "echo now; sleep 600"])
    client.until(EventKind.START, job)
    eventually(lambda: records.tail(job, 100).pieces, "it has written")
    assert text(list(records.tail(job, 100).pieces), "stdout") == b"now\n"


def test_what_runs_on_a_node_is_known(client: Client, records: Records) -> None:
    """What runs now, not what is over or waits; nothing on a node that is not there."""
    over, runs = client.run(["true"]), client.run(FOREVER)
    client.run(["true"], afterok=[runs])
    client.end(over)
    client.until(EventKind.START, runs)

    def anywhere() -> list[int]:
        return [job for rank in range(NODES) for job in records.running_on(rank)]

    eventually(lambda: runs in anywhere(), "it runs on one of the nodes")
    assert over not in anywhere()
    assert records.running_on(4711) == []
