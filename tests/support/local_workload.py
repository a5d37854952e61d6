"""For tests of the local workload manager: jobspecs, and servers that never outlive a test."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.core.ports import Journal
from rainbow_agent.core.workload_values import (
    EventKind,
    Submission,
    SubmitOutcome,
    Submitted,
    WorkloadEvent,
)
from rainbow_agent.workload.local.workload import LocalWorkload
from support.common import eventually

_PATH = "/usr/local/bin:/usr/bin:/bin"


def make_jobspec(
    command: Sequence[str],
    *,
    cores: int = 1,
    slots: int = 1,
    environment: dict[str, str] | None = None,
    **system: Any,
) -> dict[str, Any]:
    """A jobspec (RFC 14, version 1); further arguments go to attributes.system."""
    core = {"type": "core", "count": cores}
    system = {"duration": 0, "environment": {"PATH": _PATH} | (environment or {}), **system}
    return {
        "version": 1,
        "resources": [{"type": "slot", "count": slots, "label": "task", "with": [core]}],
        "tasks": [{"command": list(command), "slot": "task", "count": {"per_slot": 1}}],
        "attributes": {"system": system, "user": {}},
    }


def make_submission(
    number: int, jobspec: dict[str, Any], afterok: Sequence[int] = ()
) -> Submission:
    """A submission whose key has this job number."""
    key = TaskKey(JobKey("registration", number), "task", 0)
    user = {"rainbow": key.to_attribute()}
    attributes = {**jobspec["attributes"], "user": user}
    return Submission(key, {**jobspec, "attributes": attributes}, tuple(afterok))


@contextmanager
def running_server(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server in the foreground, as a child of the test; killed at the end if it still runs."""
    command = [sys.executable, "-m", "rainbow_agent.workload.local.server", "--dir", str(folder)]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE, cwd="/") as server:
        try:
            eventually(lambda: _answers(folder) or server.poll() is not None, "the server answers")
            yield server
        finally:
            server.terminate()
            try:
                server.wait(timeout=120)
            finally:
                server.kill()


def _answers(folder: Path) -> bool:
    probe = LocalWorkload(folder, launch=False)
    try:
        probe.resources()
    except WorkloadUnavailable:
        return False
    finally:
        probe.close()
    return True


@dataclass
class Watched:
    """A client and its journal, for tests that run jobs and look at what comes of them."""

    workload: LocalWorkload
    journal: Journal
    events: list[WorkloadEvent] = field(default_factory=list)
    _number: int = 0

    def submit(self, jobspec: dict[str, Any], afterok: Sequence[int] = ()) -> SubmitOutcome:
        """Submit one job; its outcome."""
        self._number += 1
        self.workload.start_submit(make_submission(self._number, jobspec, afterok))
        outcomes: list[SubmitOutcome] = []

        def answered() -> bool:
            outcomes.extend(self.workload.collect_outcomes(0.5))
            return bool(outcomes)

        eventually(answered, "the submission is answered")
        return outcomes[0]

    def run(self, command: Sequence[str], **options: Any) -> int:
        """Submit a command that must be taken; its job id."""
        outcome = self.submit(make_jobspec(command, **options))
        if isinstance(outcome, Submitted):
            return outcome.flux_id
        raise AssertionError(f"{command} was refused: {outcome.reason}")

    def listen(self) -> list[WorkloadEvent]:
        """All events so far, after a short wait for more."""
        self.events += self.journal.next_events(0.2)
        return self.events

    def until(self, kind: EventKind, job: int = 0) -> list[WorkloadEvent]:
        """Wait for an event; all events of its job so far."""

        def seen(events: list[WorkloadEvent]) -> bool:
            return any(e.kind is kind and e.flux_id == job for e in events)

        eventually(lambda: seen(self.events) or seen(self.listen()), f"{kind.value} of job {job}")
        return self.of(job)

    def of(self, job: int) -> list[WorkloadEvent]:
        """Events of one job so far."""
        return [event for event in self.events if event.flux_id == job]

    def end(self, job: int) -> list[WorkloadEvent]:
        """Wait for a job's end; all of its events."""
        return self.until(EventKind.CLEAN, job)


@contextmanager
def watching(folder: Path, **options: Any) -> Iterator[Watched]:
    """A client of a folder's server, with a journal; options go to LocalWorkload."""
    workload = LocalWorkload(folder, **options)
    try:
        journal = workload.open_journal()
        try:
            yield Watched(workload, journal)
        finally:
            journal.close()
    finally:
        workload.close()


def kinds_of(events: list[WorkloadEvent]) -> list[str]:
    """Kinds of events, exceptions by their type."""
    return [event.exception or event.kind.value for event in events]


def status(events: list[WorkloadEvent]) -> int | None:
    """The wait status in a job's events."""
    return next(event.status for event in events if event.kind is EventKind.FINISH)


def exception(events: list[WorkloadEvent]) -> WorkloadEvent:
    """The exception in a job's events."""
    return next(event for event in events if event.kind is EventKind.EXCEPTION)


def output(folder: Path, job: int, end: str = "out") -> str:
    """What a job wrote."""
    return (folder / "output" / f"{job}.{end}").read_text()


def lives(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def printed_pids(folder: Path, job: int, words: int = 1) -> list[int]:
    """The process ids that a job prints; waits until all are there."""
    pids: list[int] = []

    def there() -> bool:
        with suppress(OSError):
            pids[:] = [int(word) for word in output(folder, job).split()]
        return len(pids) == words

    eventually(there, f"job {job} prints {words} process ids")
    return pids
