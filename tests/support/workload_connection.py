"""Connections to the in-memory workload manager, and how they break."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import TYPE_CHECKING

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.lineage import Lineage
from rainbow_agent.core.model import TaskKey
from rainbow_agent.core.node_resources import PoolView
from rainbow_agent.core.obstacles import Obstacle
from rainbow_agent.core.ports import StopSignal
from rainbow_agent.core.workload_values import (
    EventKind,
    Submission,
    SubmitOutcome,
    WorkloadEvent,
)

if TYPE_CHECKING:
    from support.workload import FakeWorkload


class Break(Enum):
    """What becomes of the submission at which a connection breaks."""

    BEFORE = "before"  # it never arrives
    AFTER = "after"  # it became a job, and its answer is lost
    LATE = "late"  # it is on its way: a job once the dead connection is closed and settled


class Link:
    """What a connection and a journal share: they belong to a server, and can break."""

    def __init__(self, server: FakeWorkload) -> None:
        self._server = server
        self.broken = False
        self.closed = False

    def close(self) -> None:
        """End it."""
        with self._server.changed:
            self.closed = True

    def _expect_alive(self) -> None:
        if self.closed:
            raise AssertionError("used after close()")
        if self.broken:
            raise WorkloadUnavailable("the connection to the workload manager broke")


class FakeConnection(Link):
    """ports.Workload."""

    kind = "local"
    uri = "memory:"

    def __init__(self, server: FakeWorkload) -> None:
        super().__init__(server)
        self.on_its_way: list[Submission] = []
        self._outcomes: list[SubmitOutcome] = []
        self._in_flight = 0

    @property
    def instance(self) -> str:
        """Which of the instances that were here one after the other."""
        with self._server.changed:
            self._expect_alive()
            return f"instance-{self._server.instances}"

    @property
    def lineage(self) -> Lineage:
        """What those had in common."""
        with self._server.changed:
            self._expect_alive()
            return self._server.lineage

    def expected_wait(self) -> float | None:
        """As the test says."""
        return self._server.expected_wait

    def resources(self) -> PoolView:
        """One node with the server's cores."""
        with self._server.changed:
            self._expect_alive()
            return self._server.pool()

    def obstacles(self, *, trial: bool = False) -> list[Obstacle]:
        """As the test says."""
        with self._server.changed:
            self._expect_alive()
            return list(self._server.obstacles)

    def start_submit(self, submission: Submission) -> None:
        """Send; the server answers at once, or the connection breaks."""
        with self._server.changed:
            self._expect_alive()
            self._in_flight += 1
            how = self._server.next_break()
            if how is Break.LATE:
                self.on_its_way.append(submission)
            elif how is not Break.BEFORE:
                self._outcomes.append(self._server.admit(submission))
            self.broken = how is not None
            if how is Break.BEFORE:
                self._expect_alive()

    def collect_outcomes(self, timeout: float) -> list[SubmitOutcome]:
        """The outcomes that are there: all, or with a random order some of them."""
        with self._server.changed:
            self._expect_alive()
            rng = self._server.rng
            count = len(self._outcomes)
            if rng is not None and count:
                rng.shuffle(self._outcomes)
                count = rng.randint(1, count)
            found, self._outcomes = self._outcomes[:count], self._outcomes[count:]
            self._in_flight -= len(found)
            return found

    def in_flight(self) -> int:
        """Submissions whose outcome was not collected."""
        return self._in_flight

    def cancel(self, flux_ids: Sequence[int], note: str) -> None:
        """End jobs."""
        with self._server.changed:
            self._expect_alive()
            self._server.cancel(flux_ids, note)

    def settle(self, stop: StopSignal) -> None:
        """Wait for what dead connections sent."""
        with self._server.changed:
            self._expect_alive()
            self._server.settle()

    def open_journal(
        self,
        follow: Callable[[TaskKey], bool] | None = None,
    ) -> FakeJournal:
        """A journal."""
        return self._server.open_journal()


class FakeJournal(Link):
    """ports.Journal."""

    def __init__(self, server: FakeWorkload) -> None:
        super().__init__(server)
        self._cursor = 0
        self._history = len(server.events)
        self._told = False

    def next_events(self, timeout: float) -> list[WorkloadEvent]:
        """The history in pieces, CAUGHT_UP, then what happens."""
        with self._server.changed:
            self._server.changed.wait_for(self._has_news, timeout)
            self._expect_alive()
            if not self._told:
                return self._next_of_history()
            found = self._server.events[self._cursor :]
            self._cursor += len(found)
            return found

    def _has_news(self) -> bool:
        behind = self._cursor < len(self._server.events)
        return self.broken or self.closed or not self._told or behind

    def _next_of_history(self, piece: int = 100) -> list[WorkloadEvent]:
        found = self._server.events[self._cursor : min(self._cursor + piece, self._history)]
        self._cursor += len(found)
        if self._cursor >= self._history:
            self._told = True
            found.append(WorkloadEvent(EventKind.CAUGHT_UP, 0, 0.0))
        return found
