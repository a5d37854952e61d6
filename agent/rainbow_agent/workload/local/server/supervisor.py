"""What becomes of jobs: the table's decisions made true with processes, timers and the journal."""

from __future__ import annotations

import asyncio
import logging
import signal
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from rainbow_agent.core.workload_values import WorkloadEvent
from rainbow_agent.workload.local.server.job_table import Job, JobTable
from rainbow_agent.workload.local.server.journal_log import JOURNAL_FORMAT, JournalLog
from rainbow_agent.workload.local.server.machine import Machine
from rainbow_agent.workload.local.server.orphans import end_orphans
from rainbow_agent.workload.local.server.processes import Processes, StartFailure
from rainbow_agent.workload.local.server.protocol import encode, event_entry
from rainbow_agent.workload.local.server.recovery import Interrupted, recover
from rainbow_agent.workload.local.server.request import read_jobspec

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ServerState:
    """What a server starts with: an empty folder's nothing, or what the last one left."""

    machine: Machine
    journal: JournalLog
    table: JobTable
    instance: str  # identity of the journal
    last_id: int


def restore(machine: Machine, journal: JournalLog, now: float) -> ServerState:
    """Take up what the journal knows, and end what a former server left running.

    Raises:
        Fatal: the journal cannot be used.
        OSError: it cannot be written.
    """
    past = recover(journal.entries())
    instance = past.instance or str(uuid.uuid4())
    if not past.instance:
        journal.append({"header": JOURNAL_FORMAT, "instance": instance})
    table = JobTable(machine)
    for job_id, ok in past.ended_ok.items():
        table.recall(job_id, ok=ok)
    _bury(past.interrupted)
    for job in past.interrupted:
        events = table.write_off(job.id, status=job.status, doomed=job.doomed, now=now)
        _record(journal, events)
    for job_id, request in past.pending:
        _record(journal, table.resume(job_id, request, now))
    journal.commit()
    return ServerState(machine, journal, table, instance, past.last_id)


def _bury(interrupted: Iterable[Interrupted]) -> None:
    """Nothing of a job may run on once it is said to be over."""
    ids = [job.id for job in interrupted]
    if ids:
        killed = end_orphans(ids, (mark for job in interrupted for mark in job.processes))
        log.warning(
            "%d jobs ran when the last server died; ended %d processes of theirs",
            len(ids),
            killed,
            extra={"action": "orphans_ended", "jobs": len(ids), "processes": killed},
        )


def _record(journal: JournalLog, events: Iterable[WorkloadEvent]) -> None:
    for event in events:
        journal.append(event_entry(event))


class Supervisor:
    """Runs jobs. What it decides waits in the journal until the server's next turn."""

    def __init__(
        self,
        state: ServerState,
        processes: Processes,
        *,
        grace: float,
        now: Callable[[], float],
        on_change: Callable[[], None],
    ) -> None:
        """Supervise the jobs of a restored state, within a running event loop.

        Args:
            state: from restore().
            processes: starts and reaps.
            grace: seconds between SIGTERM and SIGKILL.
            now: epoch seconds.
            on_change: called when there is something for a turn to do.
        """
        self._table = state.table
        self._journal = state.journal
        self._last_id = state.last_id
        self._processes = processes
        self._grace = grace
        self._now = now
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._timers: dict[int, list[asyncio.TimerHandle]] = {}
        self._signaled: set[int] = set()

    @property
    def cores_free(self) -> int:
        """Cores that no running job holds."""
        return self._table.cores_free

    @property
    def open_jobs(self) -> int:
        """Jobs that are not over."""
        return len(self._table)

    def running(self) -> list[int]:
        """Ids of the jobs that have processes, or had until a moment ago."""
        return [job.id for job in self._table.running()]

    def submit(self, jobspec: Any) -> int:
        """Take a job; its id.

        Raises:
            Rejected: it is not taken, and nothing remains of it.
        """
        request, now = read_jobspec(jobspec), self._now()
        # Ids grow with time, so that those of a folder that was deleted do not come again.
        job_id = max(self._last_id + 1, int(now * 1e6))
        line = encode({"jobspec": jobspec, "id": job_id})  # may refuse, so before the table
        events = self._table.submit(job_id, request, now)
        self._last_id = job_id
        self._journal.append_line(line)
        _record(self._journal, events)
        return job_id

    def end(self, job_id: int, kind: str, note: str) -> None:
        """Raise an exception on a job, and end its processes: kindly, and after `grace` surely.

        A job that is over, unknown, or being ended already is left as it is.
        """
        events = self._table.raise_exception(job_id, kind, note, self._now())
        if not events:
            return
        _record(self._journal, events)
        if self._processes.signal(job_id, signal.SIGTERM):
            self._signaled.add(job_id)
            self._call_later(self._grace, job_id, self._kill)
        self._on_change()

    def start_ready(self) -> list[Job]:
        """Decide which jobs start now; launch() them once their start events are on disk."""
        started, events = self._table.start_ready(self._now())
        _record(self._journal, events)
        return started

    def launch(self, job: Job) -> None:
        """Start the processes of a job."""
        try:
            for mark in self._processes.start(job):
                self._journal.append(mark.to_entry(job.id))
        except StartFailure as exc:
            self.end(job.id, "exec", exc.note)
            self._loop.call_soon(self.reap)  # there may be no process whose end would tell
            return
        if job.request.duration:
            self._call_later(job.request.duration, job.id, self._expire)

    def reap(self) -> None:
        """Take note of processes that ended; to be called on SIGCHLD."""
        for job_id, status in self._processes.reap():
            for timer in self._timers.pop(job_id, ()):
                timer.cancel()
            if job_id in self._signaled:
                self._signaled.remove(job_id)
                end_orphans([job_id])  # what left its process group ends with it
            _record(self._journal, self._table.finish(job_id, status, self._now()))
        self._on_change()

    def kill_all(self) -> None:
        """Kill every process of every job, without a word in the journal."""
        end_orphans(self.running())

    def _kill(self, job_id: int) -> None:
        self._processes.signal(job_id, signal.SIGKILL)

    def _expire(self, job_id: int) -> None:
        self.end(job_id, "timeout", "resource allocation expired")

    def _call_later(self, delay: float, job_id: int, what: Callable[[int], None]) -> None:
        self._timers.setdefault(job_id, []).append(self._loop.call_later(delay, what, job_id))
