"""For tests: the journal's thread between a ledger and an in-memory workload manager."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rainbow_agent.core.model import (
    JobChange,
    JobKey,
    Plan,
    PlannedJob,
    PlannedTask,
    TaskKey,
    TaskKind,
    TaskRow,
)
from rainbow_agent.core.states import TaskState
from rainbow_agent.core.workload_values import Submission, Submitted
from rainbow_agent.jobs.journal import JournalFollower
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_rebuild import INSTANCE, LINEAGE
from support.common import Background, FakeClock
from support.ledger import add_job, news
from support.workload import FakeWorkload
from support.workload_connection import FakeConnection


class World:
    """A ledger, a workload manager, and a journal follower between them."""

    def __init__(self, path: Path, ledger: SqliteLedger) -> None:
        self.path, self.ledger = path, ledger
        self.server = FakeWorkload()
        self.changes: list[JobChange] = []
        self.open_workload: Callable[[], FakeConnection] = self.server.connect
        self.clock = FakeClock()
        self.telemetry = Telemetry(self.clock)
        self._on_lost = "fail"
        self._make_follower()

    def _make_follower(self) -> None:
        self.stop = Stop()
        self.follower = JournalFollower(
            open_workload=self._connect,
            open_ledger=lambda: SqliteLedger.open(self.path),
            clock=self.clock,
            stop=self.stop,
            on_change=self.changes.extend,
            telemetry=self.telemetry,
            on_lost=self._on_lost,
        )
        self.follower.EVENT_WAIT_S = 0.05  # seconds; how soon it sees the stop
        self.thread = Background(self.follower.run)

    def _connect(self) -> FakeConnection:
        return self.open_workload()

    @contextmanager
    def running(self) -> Iterator[None]:
        """The follower in its thread until the end of the block; it must not die meanwhile."""
        self.thread.start()
        try:
            yield
        finally:
            self.stop.set("the test is over")
            self.thread.end()

    def on_lost(self, what: str) -> None:
        """Set RAINBOW_ON_LOST, before the follower runs."""
        self._on_lost = what
        self._make_follower()

    def restarted_follower(self) -> AbstractContextManager[None]:
        """The agent starts once more."""
        self._make_follower()
        return self.running()

    def caught_up(self, times: int = 1) -> None:
        """Wait until the history was read so many times."""
        self.thread.wait(
            lambda: self.follower.caught_up.is_set() and self.follower.generation >= times,
            f"caught up {times} times",
        )

    def submitted(self, job: JobKey, task: str = "build") -> int:
        """A task that the agent submitted before it went down: in the server and the ledger."""
        flux_id = self.in_server(job, task)
        self.ledger.apply([news(job, task, TaskState.SUBMITTED, flux_id=flux_id)])
        return flux_id

    def submitted_group(self, flux_id: int) -> JobKey:
        """A job with a group `g` of one task, which the agent submitted and has not heard of."""
        job = add_job(self.ledger, 1)
        inside = (PlannedTask("g/t", 1, (), {}),)
        group = PlannedTask("g", 1, (), {}, kind=TaskKind.GROUP, tasks=inside)
        self.ledger.record_plans([PlannedJob(job, Plan("", (group,)))], [], 1001.5)
        self.ledger.apply([news(job, "g", TaskState.SUBMITTED, flux_id=flux_id)])
        self.ledger.put_note(INSTANCE, "instance-1")
        self.ledger.put_note(LINEAGE, "lineage-1")
        return job

    def in_server(self, job: JobKey, task: str = "build") -> int:
        """A task that the server has, and the ledger does not know of it."""
        outcome = self.server.admit(Submission(TaskKey(job, task, 0), {}))
        assert isinstance(outcome, Submitted)
        return outcome.flux_id

    def task(self, job: JobKey, task: str = "build") -> TaskRow:
        """What the ledger has of a task now."""
        return next(row for row in self.ledger.tasks_of(job) if row.key.task == task)

    def reaches(self, job: JobKey, state: TaskState) -> None:
        """Wait until the ledger has the task `build` in a state."""
        self.thread.wait(lambda: self.task(job).state is state, f"{job} is {state.value}")
