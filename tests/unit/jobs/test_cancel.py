"""Carrying out the request that a job should end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import Cancellation, JobKey
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.jobs.cancel import RESEND_AFTER_S, Canceler
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import FakeClock
from support.ledger import add_job, checked_ledger, news


class World:
    """A ledger, a clock, and what the workload manager was asked."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger = ledger
        self.clock = FakeClock()
        self.canceler = Canceler(ledger, self.clock)
        self.asked: list[tuple[list[int], str]] = []
        self.down = False

    def cancel(self, ids: Sequence[int], note: str) -> None:
        """As the workload manager's."""
        if self.down:
            raise WorkloadUnavailable("it is down")
        self.asked.append((list(ids), note))

    def request(self, key: JobKey) -> None:
        """Somebody wants it to end."""
        self.ledger.ask_cancel(Cancellation(key, self.clock.now(), "alice", "wrong"))

    def state(self, key: JobKey) -> JobState:
        """Of the job."""
        row = self.ledger.job(key)
        assert row is not None
        return row.state


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield World(ledger)


def test_what_was_never_planned_is_over_at_once(world: World) -> None:
    """Nothing of it goes to the workload manager."""
    key = add_job(world.ledger, 1)
    world.request(key)
    moved = world.canceler.carry_out(world.cancel)
    assert [(change.was, change.now) for change in moved] == [
        (JobState.RECEIVED, JobState.CANCELED)
    ]
    assert (world.asked, world.canceler.requested()) == ([], False)


def test_what_is_pending_never_goes_there(world: World) -> None:
    """Planned, and not submitted."""
    key = add_job(world.ledger, 1, "a", "b")
    world.request(key)
    world.canceler.carry_out(world.cancel)
    assert world.state(key) is JobState.CANCELED
    world.canceler.carry_out(world.cancel)
    assert (world.asked, world.canceler.requested()) == ([], False)


def test_what_is_there_is_canceled_there_once(world: World) -> None:
    """The journal tells its end; until then it is not asked again, but for a long while."""
    key = add_job(world.ledger, 1, "a", "b")
    world.ledger.apply([news(key, "a", TaskState.RUNNING, flux_id=11, started=1002.0)])
    world.request(key)
    for _ in range(3):
        world.canceler.carry_out(world.cancel)
    assert world.asked == [([11], "canceled by alice: wrong")]
    world.clock.advance(RESEND_AFTER_S + 1)
    world.canceler.carry_out(world.cancel)
    assert len(world.asked) == 2
    world.ledger.apply([news(key, "a", TaskState.CANCELED, flux_id=11, finished=1003.0)])
    world.canceler.carry_out(world.cancel)
    assert (world.state(key), world.canceler.requested()) == (JobState.CANCELED, False)


def test_what_is_about_to_be_submitted_waits_for_the_next_round(world: World) -> None:
    """It is unknown yet whether the workload manager has it."""
    key = add_job(world.ledger, 1, "a")
    world.ledger.apply([news(key, "a", TaskState.SUBMITTING)])
    world.request(key)
    world.canceler.carry_out(world.cancel)
    assert (world.asked, world.canceler.requested()) == ([], True)
    world.ledger.apply([news(key, "a", TaskState.SUBMITTED, flux_id=11)])
    world.canceler.carry_out(world.cancel)
    assert [ids for ids, _ in world.asked] == [[11]]


def test_a_workload_manager_that_is_down_loses_no_wish(world: World) -> None:
    """It is carried out when it is there again."""
    key = add_job(world.ledger, 1, "a")
    world.ledger.apply([news(key, "a", TaskState.SUBMITTED, flux_id=11)])
    world.request(key)
    world.down = True
    with pytest.raises(WorkloadUnavailable):
        world.canceler.carry_out(world.cancel)
    world.down = False
    world.canceler.carry_out(world.cancel)
    assert [ids for ids, _ in world.asked] == [[11]]
