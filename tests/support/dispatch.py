"""An agent that dispatches: a dispatcher between one ledger and one in-memory workload manager."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rainbow_agent.core.model import JobChange, JobKey, Offer, Plan, Registration
from rainbow_agent.core.site import Site
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.jobs.denials import in_order
from rainbow_agent.jobs.dispatcher import Dispatcher
from rainbow_agent.jobs.journal import OPEN_TASK_STATES
from rainbow_agent.jobs.tracker import Tracker
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import FakeClock, plan_json
from support.workload import FakeWorkload
from support.workload_connection import FakeConnection

#: Tasks of a job, for jobspec_json().
DIAMOND: Mapping[str, Sequence[str]] = {
    "build": [],
    "left": ["build"],
    "right": ["build"],
    "report": ["left", "right"],
}


class Harness:
    """A dispatcher, and all that it needs.

    `comes_back()` is what the daemon does after a break or a crash: settle, read the history,
    recover, go on.
    """

    def __init__(self, ledger: SqliteLedger, server: FakeWorkload | None = None) -> None:
        self.ledger = ledger
        self.server = server or FakeWorkload()
        self.clock = FakeClock()
        self.stop = Stop()
        self.changes: list[JobChange] = []
        self.grace = 25.0
        self.turn = float("inf")
        self.jobs = 0
        self.plan_text: Callable[[str], Plan] = plan_json
        self.site = Site(())
        ledger.open_registration(Registration("r1", "blue", "127.0.0.1:1", 1.0))
        self.connect()

    def connect(self) -> None:
        """A new connection, and a dispatcher on it."""
        self.connection: FakeConnection = self.server.connect()
        self.dispatcher = Dispatcher(
            ledger=self.ledger,
            workload=self.connection,
            plan_text=self.plan_text,
            site=lambda: self.site,
            environment={"PATH": "/bin"},
            clock=self.clock,
            grace=self.grace,
            on_change=self.changes.extend,
        )

    def receive(self, *texts: str) -> list[JobKey]:
        """Jobs that rainbow handed over."""
        first, self.jobs = self.jobs + 1, self.jobs + len(texts)
        offers = [Offer(first + n, f"job {n}", "blue", text) for n, text in enumerate(texts)]
        return self.ledger.record_offers("r1", offers, self.clock.now())

    def run(self) -> None:
        """Submit what is pending, in as many turns as it takes."""
        self.dispatcher.run(self.stop, self.turn)
        while self.dispatcher.unfinished() and not self.stop.is_set():
            self.dispatcher.run(self.stop, self.turn)

    def comes_back(self) -> int:
        """A new connection after a break or crash; how many tasks went back to pending."""
        self.dispatcher.close()
        self.server.settle()
        self.reads_the_journal()
        self.connect()
        return self.dispatcher.recover()

    def reads_the_journal(self) -> None:
        """Apply the history to what is open, as the journal's thread does."""
        tracker = Tracker(resubmits=True)
        news = in_order(change for event in self.server.events if (change := tracker.feed(event)))
        still_open = {row.key for row in self.ledger.tasks_in(OPEN_TASK_STATES)}
        self.ledger.apply([change for change in news if change.key in still_open])

    def job(self, key: JobKey) -> JobState:
        """A job's state."""
        found = self.ledger.job(key)
        if found is None:
            raise AssertionError(f"{key} is not in the ledger")
        return found.state

    def states(self, key: JobKey) -> dict[str, TaskState]:
        """Of a job's tasks, by `name/replica`."""
        return {f"{r.key.task}/{r.key.replica}": r.state for r in self.ledger.tasks_of(key)}

    def ids(self, key: JobKey) -> dict[str, int | None]:
        """Of a job's tasks, by name."""
        return {row.key.task: row.flux_id for row in self.ledger.tasks_of(key)}
