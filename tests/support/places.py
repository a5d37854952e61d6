"""For tests of workload managers: a client that remembers its events, and how to read them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.core.ports import Journal, Workload
from rainbow_agent.core.workload_values import (
    EventKind,
    Submission,
    SubmitHeld,
    SubmitOutcome,
    SubmitRefused,
    Submitted,
    WorkloadEvent,
)
from support.common import eventually
from support.local_workload import make_jobspec

#: A task that ends when somebody ends it.
FOREVER = ["sleep", "1000"]
_numbers = itertools.count(1)


def new_key() -> TaskKey:
    """A key that no job has had in this process."""
    return TaskKey(JobKey("registration", next(_numbers)), "task", 0)


@dataclass(frozen=True)
class Place:
    """A workload manager that runs, and how to connect to it."""

    kind: str
    address: str  # a Flux URI, or a folder
    cores: int  # in all
    open: Callable[[], Workload]


@dataclass
class Client:
    """A connection with a journal, and what both have said."""

    workload: Workload
    journal: Journal
    outcomes: dict[TaskKey, SubmitOutcome] = field(default_factory=dict)
    events: list[WorkloadEvent] = field(default_factory=list)

    def submit(self, *jobspecs: dict[str, Any], afterok: Sequence[int] = ()) -> list[SubmitOutcome]:
        """Submit jobspecs together, each as a replica of one task; their outcomes in order."""
        job = new_key().job
        keys = [TaskKey(job, "task", replica) for replica in range(len(jobspecs))]
        for key, jobspec in zip(keys, jobspecs, strict=True):
            attributes = {**jobspec["attributes"], "user": {"rainbow": key.to_attribute()}}
            request = {**jobspec, "attributes": attributes}
            self.workload.start_submit(Submission(key, request, tuple(afterok)))
        return self.collect(keys)

    def collect(self, keys: Sequence[TaskKey]) -> list[SubmitOutcome]:
        """Wait for the outcomes of these submissions."""

        def answered() -> bool:
            for outcome in self.workload.collect_outcomes(0.2):
                if outcome.key in self.outcomes:
                    raise AssertionError(f"{outcome.key} has two outcomes")
                self.outcomes[outcome.key] = outcome
            return all(key in self.outcomes for key in keys)

        eventually(answered, f"{len(keys)} submissions are answered")
        return [self.outcomes[key] for key in keys]

    def run(self, command: Sequence[str], afterok: Sequence[int] = (), **options: Any) -> int:
        """Submit a command that must be taken; its job id."""
        (outcome,) = self.submit(make_jobspec(command, **options), afterok=afterok)
        match outcome:
            case Submitted():
                return outcome.flux_id
            case SubmitRefused() | SubmitHeld():
                raise AssertionError(f"{command} was refused: {outcome.reason}")

    def refused(self, jobspec: dict[str, Any], afterok: Sequence[int] = ()) -> str:
        """Submit what must be refused; the words."""
        (outcome,) = self.submit(jobspec, afterok=afterok)
        match outcome:
            case Submitted() | SubmitHeld():
                raise AssertionError(f"{jobspec} was not refused: {outcome}")
            case SubmitRefused():
                return outcome.reason

    def until(self, kind: EventKind, job: int = 0) -> list[WorkloadEvent]:
        """Wait for an event; all events of its job so far."""

        def seen() -> bool:
            if any(e.kind is kind and e.flux_id == job for e in self.events):
                return True
            self.events += self.journal.next_events(0.2)
            return False

        eventually(seen, f"{kind.value} of job {job}")
        return self.of(job)

    def of(self, job: int) -> list[WorkloadEvent]:
        """All events of a job so far."""
        return [event for event in self.events if event.flux_id == job]

    def end(self, job: int) -> list[WorkloadEvent]:
        """Wait for a job's end; all of its events."""
        return self.until(EventKind.CLEAN, job)


def kinds_of(events: Sequence[WorkloadEvent]) -> list[str]:
    """Kinds of events, exceptions by their type."""
    return [event.exception or event.kind.value for event in events]


def status(events: Sequence[WorkloadEvent]) -> int | None:
    """The wait status in a job's events."""
    return next(event.status for event in events if event.kind is EventKind.FINISH)


def exception(events: Sequence[WorkloadEvent]) -> WorkloadEvent:
    """The first exception in a job's events."""
    return next(event for event in events if event.kind is EventKind.EXCEPTION)


def moment(events: Sequence[WorkloadEvent], kind: EventKind) -> float:
    """When an event happened."""
    return next(event.time for event in events if event.kind is kind)


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
