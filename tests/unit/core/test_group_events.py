"""News of tasks in a group: what is read of a log that a job can write to."""

from __future__ import annotations

import errno
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.group_events import from_entry, left_behind, to_line
from rainbow_agent.core.model import (
    JobKey,
    Plan,
    PlannedJob,
    PlannedTask,
    TaskChange,
    TaskKey,
    TaskKind,
)
from rainbow_agent.core.states import TaskState
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.workload.flux.connection import Reply
from rainbow_agent.workload.flux.group_log import FluxInside
from support.ledger import add_job, checked_ledger

GROUP = TaskKey(JobKey("r1", 1), "g", 0)


def entry(**more: Any) -> Any:
    """As it stands in the log."""
    at = more.pop("timestamp", 1002.0)
    context = {"task": "g/t", "state": "failed", "reason": "exit code 1", **more}
    text = json.dumps({"timestamp": at, "name": "task", "context": context})
    return json.loads(text)


def test_what_is_written_is_read() -> None:
    """All that is known of a task comes through."""
    change = TaskChange(
        TaskKey(GROUP.job, "g/t", 2),
        TaskState.FAILED,
        1002.5,
        "ended",
        flux_id=77,
        exit_code=1,
        reason="exit code 1",
        started=1001.0,
        finished=1002.0,
        inside=True,
    )
    assert from_entry(GROUP, json.loads(to_line(change))) == change


@pytest.mark.parametrize(
    "odd",
    [
        {"reason": "half a character: \ud800"},
        {"cause": "\udcff"},
        {"reason": "x" * 1_000_000},
        {"flux_id": 10**30},
        {"exit_code": -(10**30)},
        {"started": float("nan")},
        {"finished": float("inf")},
        {"started": True},
        {"timestamp": float("nan")},
        {"replica": 10**30},
        {"replica": -1},
        {"task": "g/\ud800"},
    ],
    ids=range(12),
)
def test_what_a_job_writes_there_breaks_no_ledger(tmp_path: Path, odd: dict[str, Any]) -> None:
    """Text that is none and numbers without end are left out, or the news is."""
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        _planned(ledger)
        news = from_entry(GROUP, entry(**odd))
        if news is not None:
            ledger.apply([news])
            assert len(news.reason or "") < 5000


def test_lines_that_are_none_are_passed_over() -> None:
    """Whatever runs in a group can write to its log under Flux; the journal continues."""
    lines = ["{", "7", "[]", "{}", '{"timestamp": "soon"}', '{"timestamp": 1.0}', "[" * 100_000]
    text = json.dumps({"event": "".join(f"{line}\n" for line in lines)})
    inside = FluxInside(Wire(), lambda _: True)  # type: ignore[arg-type]
    assert not inside.keeps(WorkloadEvent(EventKind.SUBMIT, 5, 1.0, key=GROUP, group=True))
    assert not inside.keeps(WorkloadEvent(EventKind.START, 5, 1.0))
    inside.watch()
    events = list(inside.read(Reply(1, text)))
    assert [event.news for event in events] == [{"timestamp": 1.0}]


@pytest.mark.parametrize(
    ("group", "was", "end"),
    [
        (TaskState.LOST, TaskState.PENDING, TaskState.LOST),
        (TaskState.LOST, TaskState.RUNNING, TaskState.LOST),
        (TaskState.FAILED, TaskState.PENDING, TaskState.CANCELED),
        (TaskState.FAILED, TaskState.SUBMITTED, TaskState.LOST),
        (TaskState.CANCELED, TaskState.PENDING, TaskState.CANCELED),
        (TaskState.CANCELED, TaskState.RUNNING, TaskState.CANCELED),
    ],
)
def test_what_was_not_reported_of_a_group_that_is_over(
    group: TaskState, was: TaskState, end: TaskState
) -> None:
    """In one that is lost any task may have begun; canceling ends all that is in it."""
    change = TaskChange(GROUP, group, 1002.0, "it is over")
    assert left_behind(change, TaskKey(GROUP.job, "g/t", 0), was).state is end


SAID = [{"timestamp": float(n)} for n in range(3)]
CLEAN = WorkloadEvent(EventKind.CLEAN, 5, 9.0)


def test_a_watch_that_says_nothing_holds_up_no_end() -> None:
    """Flux never answers one that was begun as the job ended: then the log is read as a whole."""
    wire, inside = followed()
    assert inside.keeps(CLEAN)
    assert wire.topics == ["job-info.eventlog-watch", "job-info.lookup"]
    assert told(inside, whole(2)) == [*SAID, None]
    assert told(inside, watched(1, SAID)) == []  # and should it ever say it
    assert told(inside, ended(1, errno.ENODATA)) == []


def test_what_was_heard_is_not_said_again() -> None:
    """Lines that the watch gives after the log was asked for are left out of it."""
    _, inside = followed()
    assert inside.keeps(CLEAN)
    assert told(inside, watched(1, SAID[:2])) == SAID[:2]
    assert told(inside, whole(2)) == [SAID[2], None]


def test_a_watch_that_ends_in_order_is_enough() -> None:
    """The log is not read twice."""
    wire, inside = followed()
    assert told(inside, watched(1, SAID)) == SAID
    assert inside.keeps(CLEAN)
    assert told(inside, ended(1, errno.ENODATA)) == [None]
    assert wire.topics == ["job-info.eventlog-watch"]


@pytest.mark.parametrize("error", [errno.ENOENT, errno.EIO, errno.ENODATA])
@pytest.mark.parametrize("heard", [0, 2])
@pytest.mark.parametrize("before", [True, False])
def test_a_watch_that_ends_too_soon(error: int, heard: int, *, before: bool) -> None:
    """It may end before the job is over, or after it, with a part of what there is."""
    _, inside = followed()
    assert told(inside, watched(1, SAID[:heard])) == SAID[:heard]
    if before:
        assert told(inside, ended(1, error)) == []
        assert inside.keeps(CLEAN)
    else:
        assert inside.keeps(CLEAN)
        if error == errno.ENODATA and heard:
            return  # the end of the log
        assert told(inside, ended(1, error)) == []
    assert told(inside, whole(2)) == [*SAID[heard:], None]


def test_a_group_that_is_over_is_not_watched() -> None:
    """One answer has all of a job's past."""
    wire = Wire()
    inside = FluxInside(wire, lambda _: True)  # type: ignore[arg-type]
    assert not inside.keeps(WorkloadEvent(EventKind.SUBMIT, 5, 1.0, key=GROUP, group=True))
    assert not inside.keeps(WorkloadEvent(EventKind.START, 5, 1.0))
    assert inside.keeps(CLEAN)
    inside.watch()
    assert wire.topics == ["job-info.lookup"]
    assert told(inside, ended(1, errno.ENOENT)) == [None]


@given(
    st.lists(st.integers(0, 3), max_size=3),
    st.sampled_from([errno.ENODATA, errno.ENOENT, errno.EIO]),
    st.lists(st.sampled_from(["watch", "lookup", "clean"]), max_size=20),
)
def test_in_whatever_order_answers_come_all_is_said_once(
    cuts: list[int], error: int, order: list[str]
) -> None:
    """The lines of the log in their order, and then the job's end."""
    wire, inside = followed()
    at = [0, *sorted(cuts), len(SAID)]
    stream = [watched(1, SAID[a:b]) for a, b in pairwise(at)]
    if error != errno.ENODATA:
        stream.pop()  # it breaks off
    stream.append(ended(1, error))
    heard: list[Any] = []
    over = read = False
    for step in [*order, "clean", *["watch"] * len(stream), "lookup"]:
        if step == "clean" and not over:
            over = inside.keeps(CLEAN)
        elif step == "watch" and stream:
            heard += told(inside, stream.pop(0))
        elif step == "lookup" and not read and "job-info.lookup" in wire.topics:
            read = True
            heard += told(inside, whole(2))
    assert heard == [*SAID, None]


def followed() -> tuple[Wire, FluxInside]:
    """The group of job 5 is watched, by request 1."""
    wire = Wire()
    inside = FluxInside(wire, lambda _: True)  # type: ignore[arg-type]
    inside.keeps(WorkloadEvent(EventKind.SUBMIT, 5, 1.0, key=GROUP, group=True))
    inside.keeps(WorkloadEvent(EventKind.START, 5, 1.0))
    inside.watch()
    return wire, inside


def told(inside: FluxInside, response: Reply) -> list[Any]:
    """What becomes of a response: lines of the log, None for the job's end."""
    return [event.news for event in inside.read(response)]


def watched(request: int, lines: list[Any]) -> Reply:
    """A piece of the log."""
    return Reply(request, json.dumps({"event": _text(lines)}))


def whole(request: int) -> Reply:
    """All of it."""
    return Reply(request, json.dumps({"id": 5, "guest.rainbow.eventlog": _text(SAID)}))


def ended(request: int, error: int) -> Reply:
    """The end of a watch, or why there is no log."""
    return Reply(request, "", error)


def _text(lines: list[Any]) -> str:
    return "".join(f"{json.dumps(line)}\n" for line in lines)


class Wire:
    """A connection that takes requests; their topics."""

    def __init__(self) -> None:
        self.topics: list[str] = []

    def request(self, topic: str, *_: Any, **__: Any) -> int:
        """Its number, from 1."""
        self.topics.append(topic)
        return len(self.topics)


def _planned(ledger: SqliteLedger) -> None:
    key = add_job(ledger, 1)
    inside = (PlannedTask("g/t", 1, (), {}),)
    group = PlannedTask("g", 1, (), {}, kind=TaskKind.GROUP, tasks=inside)
    ledger.record_plans([PlannedJob(key, Plan("", (group,)))], [], 1001.5)
