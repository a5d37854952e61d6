"""An in-memory workload manager behind ports.Workload and ports.Journal.

It has what matters of Flux to the agent: a job table, afterok dependencies, a journal that begins
with the history, and connections that break with submissions on their way.
"""

from __future__ import annotations

import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.lineage import Lineage
from rainbow_agent.core.model import Origin, TaskKey
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.obstacles import Obstacle
from rainbow_agent.core.ports import Clock
from rainbow_agent.core.workload_values import (
    EventKind,
    Submission,
    SubmitHeld,
    SubmitOutcome,
    SubmitRefused,
    Submitted,
    WorkloadEvent,
)
from support.common import FakeClock
from support.fakejob import FakeJob
from support.workload_connection import Break, FakeConnection, FakeJournal, Link


class FakeWorkload:
    """The server. `connect()` is what the packages are given.

    Args:
        auto: run every job to its end as soon as it may start; else a test calls start() and
            finish().
        rng: outcomes of submissions come in this random order; in theirs when None.
    """

    def __init__(
        self,
        *,
        auto: bool = False,
        cores: int = 4,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.changed = threading.Condition(threading.RLock())
        self.auto, self.rng = auto, rng
        self.down = False
        self.jobs: dict[int, FakeJob] = {}
        self.events: list[WorkloadEvent] = []
        #: Wait statuses of tasks by name, for auto; 0 where none is given.
        self.statuses: dict[str, int] = {}
        #: Why a submission is refused; None to take it.
        self.refuse: Callable[[Submission], str | None] = lambda _: None
        #: Why it takes no job at all; None when it does.
        self.held: str | None = None
        #: Seconds until what waits has started; None: not known.
        self.expected_wait: float | None = None
        #: What keeps its jobs from being taken or started.
        self.obstacles: list[Obstacle] = []
        #: How often each task became a job in this instance: what "nothing runs twice" means.
        self.became_job: Counter[TaskKey] = Counter()
        self.journals_opened = 0
        self.instances = 1
        #: Another one when an instance is replaced by one that has not its state; and the highest
        #: id of the jobs that were purged.
        self.lineage = Lineage("lineage-1", 0)
        self._cores = cores
        self._clock = clock or FakeClock()
        self._ids = itertools.count(1000, 16)
        self._links: list[Link] = []
        self._breaks: list[tuple[int, Break]] = []
        self._submits = 0

    # -- what a test does to it --------------------------------------------------------------

    def connect(self) -> FakeConnection:
        """A connection, as open_workload of the packages."""
        return self.link(FakeConnection(self))

    def link(self, connection: FakeConnection) -> FakeConnection:
        """A connection of a test's own kind."""
        with self.changed:
            self._expect_up()
            self._links.append(connection)
            return connection

    def break_at_submit(self, n: int, how: Break) -> None:
        """Break the connection at the n-th submission from now (1: the next)."""
        with self.changed:
            self._breaks.append((self._submits + n, how))

    def break_connections(self) -> None:
        """Break every connection and journal that is open."""
        with self.changed:
            for link in self._links:
                link.broken = True
            self.changed.notify_all()

    def replace_instance(self) -> None:
        """The instance ends with all its jobs, and an empty one takes its place."""
        with self.changed:
            self.instances += 1
            self.lineage = Lineage(f"lineage-{self.instances}", 0)
            self.became_job.clear()
            self.jobs.clear()
            self.events.clear()
            self.break_connections()

    def start(self, flux_id: int) -> None:
        """A job starts."""
        with self.changed:
            self.jobs[flux_id].running = True
            self._emit(EventKind.START, flux_id)

    def finish(self, flux_id: int, status: int = 0) -> None:
        """A job ends with a wait status."""
        with self.changed:
            self._emit(EventKind.FINISH, flux_id, status=status)
            self._end(flux_id, well=status == 0)

    def raise_exception(
        self,
        flux_id: int,
        kind: str,
        note: str = "",
        *,
        severity: int = 0,
        end: bool = True,
        denied: bool = False,
    ) -> None:
        """An exception for a job; a fatal one ends it, unless `end` is False.

        `denied`: the scheduler says that too few nodes are up.
        """
        with self.changed:
            event = WorkloadEvent(
                EventKind.EXCEPTION,
                flux_id,
                self._clock.now(),
                exception=kind,
                severity=severity,
                note=note,
                unsatisfiable=denied,
                denied=denied,
            )
            self._append(event)
            if severity == 0 and end:
                self._end(flux_id, well=False)

    def run_all(self) -> None:
        """Run what waits to its end, and so on until nothing waits."""
        with self.changed:
            while ready := [j for j in self.jobs.values() if j.may_start()]:
                for job in ready:
                    self._run(job)

    def id_of(self, key: TaskKey) -> int:
        """The newest job of a task."""
        with self.changed:
            return max(job.flux_id for job in self.jobs.values() if job.key == key)

    # -- the server itself -------------------------------------------------------------------

    def admit(self, submission: Submission) -> SubmitOutcome:
        """Take a submission or refuse it, as the job manager does."""
        with self.changed:
            if self.held is not None:
                return SubmitHeld(submission.key, self.held)
            if reason := self.refuse(submission):
                return SubmitRefused(submission.key, reason)
            if reason := self._bad_dependency(submission.afterok):
                return SubmitRefused(submission.key, reason, dependency_failed=True)
            flux_id = next(self._ids)
            waits_for = {i for i in submission.afterok if self.jobs[i].ended_well is None}
            job = FakeJob(flux_id, submission.key, submission, waits_for)
            self.jobs[flux_id] = job
            self.became_job[submission.key] += 1
            user = (submission.jobspec.get("attributes") or {}).get("user") or {}
            mark = user.get("rainbow") or {}
            event = WorkloadEvent(
                EventKind.SUBMIT,
                flux_id,
                self._clock.now(),
                key=submission.key,
                group=bool(mark.get("group")),
                origin=Origin.from_attribute(mark),
            )
            self._append(event)
            if self.auto:
                self.run_all()
            return Submitted(submission.key, flux_id)

    def next_break(self) -> Break | None:
        """Count one submission; how the connection breaks at it, if it does."""
        self._submits += 1
        for found in self._breaks:
            if found[0] == self._submits:
                self._breaks.remove(found)
                return found[1]
        return None

    def pool(self) -> PoolView:
        """One node."""
        busy = sum(job.running for job in self.jobs.values())
        free = max(self._cores - busy, 0)
        return PoolView((NodeView(0, "node-0", self._cores, 0, cores_free=free),))

    def settle(self) -> None:
        """What closed connections have on their way arrives."""
        with self.changed:
            for link in self._links:
                if isinstance(link, FakeConnection) and link.closed:
                    late, link.on_its_way = link.on_its_way, []
                    for submission in late:
                        self.admit(submission)

    def open_journal(self) -> FakeJournal:
        """A journal on a connection of its own."""
        with self.changed:
            self._expect_up()
            self.journals_opened += 1
            journal = FakeJournal(self)
            self._links.append(journal)
            return journal

    def cancel(self, flux_ids: Collection[int], note: str) -> None:
        """End jobs that are not over."""
        with self.changed:
            for flux_id in flux_ids:
                job = self.jobs.get(flux_id)
                if job is not None and job.ended_well is None:
                    self.raise_exception(flux_id, "cancel", note)

    def _expect_up(self) -> None:
        if self.down:
            raise WorkloadUnavailable("the workload manager cannot be reached: the test says so")

    def _bad_dependency(self, afterok: Sequence[int]) -> str | None:
        """In Flux's words (its plugin dependency-after)."""
        for flux_id in afterok:
            job = self.jobs.get(flux_id)
            if job is None:
                return f"dependency: afterok: id {flux_id}: job not found"
            if job.ended_well is False:
                return f"dependency: afterok: job {flux_id} failed or was canceled"
        return None

    def _run(self, job: FakeJob) -> None:
        if job.ended_well is None:
            self.start(job.flux_id)
            self.finish(job.flux_id, self.statuses.get(job.key.task, 0))

    def _end(self, flux_id: int, *, well: bool) -> None:
        ended = self.jobs[flux_id]
        ended.running, ended.ended_well = False, well
        self._emit(EventKind.CLEAN, flux_id)
        for job in [j for j in self.jobs.values() if flux_id in j.waits_for]:
            job.waits_for.discard(flux_id)
            if not well and job.ended_well is None:
                note = f"dependency afterok={flux_id} can never be satisfied"
                self.raise_exception(job.flux_id, "dependency", note)

    def _emit(self, kind: EventKind, flux_id: int, status: int | None = None) -> None:
        self._append(WorkloadEvent(kind, flux_id, self._clock.now(), status=status))

    def _append(self, event: WorkloadEvent) -> None:
        self.events.append(event)
        self.changed.notify_all()
