"""Reading Flux's journal: responses in, events out."""

from __future__ import annotations

import errno
import json
import os
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.workload.flux.connection import Connection, Reply
from rainbow_agent.workload.flux.journal import FluxJournal, JournalReader

KEY = TaskKey(JobKey("registration", 7), "build", 2)
JOBSPEC = {"version": 1, "attributes": {"user": {"rainbow": KEY.to_attribute()}}}


def entry(name: str, at: float = 1.0, **context: Any) -> dict[str, Any]:
    """An event as it stands in an eventlog (RFC 18)."""
    return {"name": name, "timestamp": at, **({"context": context} if context else {})}


def read(*answers: dict[str, Any]) -> list[WorkloadEvent]:
    """What a journal makes of these responses."""
    reader = JournalReader()
    return [event for answer in answers for event in reader.read(answer, now=9.0)]


def live(flux_id: int, event: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A response about something that happens now."""
    return {"id": flux_id, "events": [event], **more}


def test_history_has_a_whole_job_in_one_response() -> None:
    """Its key comes from the jobspec beside the events."""
    events = [
        entry("submit", 1.0, userid=os.getuid()),
        entry("validate", 1.5),
        entry("start", 2.0),
        entry("finish", 3.0, status=256),
        entry("clean", 4.0),
    ]
    assert read({"id": 5, "events": events, "jobspec": JOBSPEC}) == [
        WorkloadEvent(EventKind.SUBMIT, 5, 1.0, key=KEY),
        WorkloadEvent(EventKind.START, 5, 2.0),
        WorkloadEvent(EventKind.FINISH, 5, 3.0, status=256),
        WorkloadEvent(EventKind.CLEAN, 5, 4.0),
    ]


def test_another_users_job_is_none_of_ours() -> None:
    """Whatever it wrote into its attributes: a guest could tell us of ends that never were."""
    guest = entry("submit", 1.0, userid=os.getuid() + 1)
    newer = read(live(5, guest, jobspec=JOBSPEC), live(5, entry("validate", 2.0)))
    older = read(live(5, guest), live(5, entry("validate", 2.0), jobspec=JOBSPEC))
    assert newer == older == [WorkloadEvent(EventKind.SUBMIT, 5, 1.0)]


def test_the_end_of_history_is_told() -> None:
    """Flux marks it with the id -1."""
    assert read({"id": -1, "events": []}) == [WorkloadEvent(EventKind.CAUGHT_UP, 0, 9.0)]


def test_the_jobspec_may_come_with_either_event() -> None:
    """Newer Flux sends it with `submit`, 0.62 with `validate`."""
    newer = read(live(5, entry("submit"), jobspec=JOBSPEC), live(5, entry("validate", 2.0)))
    older = read(live(5, entry("submit")), live(5, entry("validate", 2.0), jobspec=JOBSPEC))
    assert newer == older == [WorkloadEvent(EventKind.SUBMIT, 5, 1.0, key=KEY)]


def test_a_job_that_is_turned_down_never_was() -> None:
    """The job manager tells of `submit` before it has looked at the job."""
    turned_down = live(5, entry("submit"), jobspec=JOBSPEC), live(5, entry("invalidate"))
    assert read(*turned_down) == []


def test_an_exception_keeps_its_words() -> None:
    """Type, severity and note."""
    context = {"type": "alloc", "severity": 0, "note": "unsatisfiable request"}
    assert read(live(5, entry("exception", 2.0, **context))) == [
        WorkloadEvent(
            EventKind.EXCEPTION,
            5,
            2.0,
            exception="alloc",
            note="unsatisfiable request",
            unsatisfiable=True,
        )
    ]


@pytest.mark.parametrize(
    ("kind", "note", "never", "denied"),
    [
        ("alloc", "unsatisfiable request: not enough cores", True, False),  # sched-simple
        ("alloc", 'alloc denied due to type="unsatisfiable"', True, True),  # Fluxion
        ("alloc", 'alloc denied due to type="match error"', False, False),
        ("alloc", "Unsupported resource type 'gpu'", True, False),  # 0.63
        ("alloc", "sched-simple does not support resource type 'gpu'", True, False),  # 0.73
        ("alloc", "scheduler went away", False, False),
        ("exec", "unsatisfiable", False, False),
    ],
)
def test_what_can_never_be_allocated_is_marked(
    kind: str, note: str, *, never: bool, denied: bool
) -> None:
    """Both schedulers' words for it are known here, and nowhere else; Fluxion counts what is up."""
    (event,) = read(live(5, entry("exception", 2.0, type=kind, severity=0, note=note)))
    assert (event.unsatisfiable, event.denied) == (never, denied)


def test_a_jobspec_without_our_key_has_none() -> None:
    """Somebody else's attributes may have any shape."""
    shapes: list[Any] = [{}, {"user": None}, {"user": {"rainbow": 3}}, {"user": []}]
    for attributes in shapes:
        answer = {"id": 5, "events": [entry("submit"), entry("validate")]}
        assert read({**answer, "jobspec": {"attributes": attributes}})[0].key is None


@given(st.integers(1, 6), st.integers(0, 2**32), st.booleans())
def test_live_tells_the_same_as_history(jobs: int, seed: int, early_jobspec: bool) -> None:
    """However the events of several jobs mix."""
    rng = random.Random(seed)
    logs: dict[int, list[dict[str, Any]]] = {}
    for flux_id in range(1, jobs + 1):
        names = ["submit", "validate", "start", "finish", "clean"]
        names = names[: rng.randint(2, len(names))]
        logs[flux_id] = [entry(n, float(i)) for i, n in enumerate(names)]
    history = read(*({"id": i, "events": log, "jobspec": JOBSPEC} for i, log in logs.items()))
    order = [flux_id for flux_id, log in logs.items() for _ in log]
    rng.shuffle(order)
    left = {flux_id: list(log) for flux_id, log in logs.items()}
    carrier = "submit" if early_jobspec else "validate"
    answers = []
    for flux_id in order:
        event = left[flux_id].pop(0)
        more = {"jobspec": JOBSPEC} if event["name"] == carrier else {}
        answers.append(live(flux_id, event, **more))
    happened = read(*answers)
    for flux_id in logs:
        own = [e for e in happened if e.flux_id == flux_id]
        assert own == [e for e in history if e.flux_id == flux_id]


GONE = WorkloadUnavailable("the connection is gone")


class Scripted(Connection):
    """A connection over which some responses come, and then its end."""

    def __init__(self, responses: list[Reply]) -> None:
        self._where, self._early = "local:///test", []
        self._left = responses

    def request(self, *_: Any, **__: Any) -> int:
        """Its number."""
        return 1

    def _receive_one(self) -> Reply | None:
        if not self._left:
            raise GONE
        return self._left.pop(0)


@pytest.mark.parametrize("said", [False, True], ids=["broken", "ended by the broker"])
def test_what_came_before_the_end_of_the_stream_is_returned_first(*, said: bool) -> None:
    """An instance that dies can tell nothing twice; its end is said by each later call."""
    start = Reply(1, json.dumps(live(5, entry("start", 2.0))))
    end = [Reply(1, "Function not implemented", errno.ENOSYS)] if said else []
    journal = FluxJournal(Scripted([start, *end]))
    assert journal.next_events(0.0) == [WorkloadEvent(EventKind.START, 5, 2.0)]
    for _ in range(2):
        with pytest.raises(WorkloadUnavailable, match="ended" if said else "gone"):
            journal.next_events(0.0)
