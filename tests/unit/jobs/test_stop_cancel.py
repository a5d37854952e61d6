"""RAINBOW_ON_STOP=cancel: what is canceled, what is not, and what is left when time is over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.jobs.stop_cancel import STOP_NOTE, cancel_running
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import FakeClock
from support.ledger import add_job, checked_ledger, news


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """Three jobs: one half submitted, one that waits, one that is not there yet."""
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        half = add_job(ledger, 1, "build", "ior")
        waits = add_job(ledger, 2, "waits")
        add_job(ledger, 3, "new")
        ledger.apply(
            [
                news(half, "build", TaskState.SUBMITTING),
                news(half, "build", TaskState.SUBMITTED, flux_id=7),
                news(half, "build", TaskState.RUNNING, flux_id=7, started=1003.0),
                news(waits, "waits", TaskState.SUBMITTING),
                news(waits, "waits", TaskState.SUBMITTED, flux_id=8),
            ]
        )
        yield ledger


def stopped(grace: float = 60.0) -> Stop:
    stop = Stop(grace)
    stop.set("enough")
    return stop


def states(ledger: SqliteLedger) -> dict[int, JobState]:
    return {row.key.id: row.state for row in ledger.jobs()}


def test_what_is_there_is_canceled_and_what_waits_for_it_never_goes(ledger: SqliteLedger) -> None:
    """By id, with a note; what of the same job is not there yet never goes there."""
    asked: list[tuple[list[int], str]] = []

    def cancel(ids: Sequence[int], note: str) -> None:
        asked.append((sorted(ids), note))
        rows = ledger.tasks_in({TaskState.SUBMITTED, TaskState.RUNNING})
        ledger.apply(  # as the journal's thread does, a little later
            [
                news(r.key.job, r.key.task, TaskState.CANCELED, reason=note, finished=1010.0)
                for r in rows
            ]
        )

    cancel_running(ledger, cancel, FakeClock(), stopped())
    assert asked == [([7, 8], STOP_NOTE)]
    assert states(ledger) == {
        1: JobState.CANCELED,
        2: JobState.CANCELED,
        3: JobState.RECEIVED,  # rainbow has it still, and the next start runs it
    }


def test_a_workload_manager_that_is_gone(
    ledger: SqliteLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """Jobs go on, that is said, and nothing is written that is not so."""

    def cancel(_ids: Sequence[int], _note: str) -> None:
        raise WorkloadUnavailable("it is gone")

    before = states(ledger)
    cancel_running(ledger, cancel, FakeClock(), stopped())
    assert states(ledger) == before
    assert "could not be canceled and are still running: it is gone" in caplog.text


def test_the_time_is_over_before_they_ended(
    ledger: SqliteLedger, caplog: pytest.LogCaptureFixture
) -> None:
    """There is no wait beyond the time left; the next start reads how they ended."""
    cancel_running(ledger, lambda *_: None, FakeClock(), stopped(grace=0.2))
    assert "2 tasks were canceled and had not ended" in caplog.text
    assert states(ledger)[2] is JobState.SUBMITTED


def test_nothing_runs(tmp_path: Path) -> None:
    """Without jobs to cancel there is no call."""
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        add_job(ledger, 1, "new")

        def cancel(_ids: Sequence[int], _note: str) -> None:
            raise AssertionError("there is nothing to cancel")

        cancel_running(ledger, cancel, FakeClock(), stopped())
