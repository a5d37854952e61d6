"""What metrics and pages ask the ledger: right answers, and a cost that does not grow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.model import JobKey, Refusal
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.monitoring.job_history import JobHistory
from rainbow_agent.storage import ledger_metrics
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_metrics import Ended, LedgerMetrics
from rainbow_agent.storage.ledger_paging import LedgerPages
from support.ledger import REGISTRATION, add_job, checked_ledger, news


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    with checked_ledger(path) as ledger:
        ledger.open_registration(REGISTRATION)
        yield ledger


@pytest.fixture
def measures(path: Path, ledger: SqliteLedger) -> Iterator[LedgerMetrics]:
    del ledger  # it made the file
    with closing(LedgerMetrics.open(path)) as measures:
        yield measures


def complete(ledger: SqliteLedger, job: JobKey) -> None:
    ledger.apply(
        [
            news(job, "build", TaskState.SUBMITTING, 1002.0),
            news(job, "build", TaskState.SUBMITTED, 1003.0, flux_id=job.id),
            news(job, "build", TaskState.RUNNING, 1006.0, started=1006.0),
            news(
                job,
                "build",
                TaskState.COMPLETED,
                1021.0,
                exit_code=0,
                finished=1021.0,
            ),
        ]
    )


def test_what_ended_comes_once_with_its_times(
    ledger: SqliteLedger, measures: LedgerMetrics
) -> None:
    """Each look begins where the last one ended."""
    before = measures.newest()
    job = add_job(ledger, 1, "build")
    complete(ledger, job)
    add_job(ledger, 2)
    ledger.record_plans([], [Refusal(JobKey(REGISTRATION.id, 2), "too odd")], 1003.0)
    found = measures.moved_since(before)
    assert found.received == 2
    assert found.ended == (
        Ended(JobState.COMPLETED, 1001.0, 1003.0, 1006.0, 1021.0),
        Ended(JobState.REFUSED, 1001.0, None, None, 1003.0),
    )
    again = measures.moved_since(found.upto)
    assert (again.upto, again.received, again.ended) == (found.upto, 0, ())


def test_a_great_deal_of_news_is_read_in_parts(
    ledger: SqliteLedger, measures: LedgerMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One look stays short; nothing is lost or counted twice."""
    monkeypatch.setattr(ledger_metrics, "MAX_EVENTS", 7)
    history = JobHistory(measures.newest())
    for number in range(1, 11):
        complete(ledger, add_job(ledger, number, "build"))
    for _ in range(30):
        history.catch_up(measures)
    assert history.received.values() == {(): 10.0}
    assert history.ended.values() == {("completed",): 10.0}
    assert sum(history.whole.values()[("completed",)].counts) == 10
    assert history.submit.values()[()].total == 20.0
    assert history.wait.values()[()].total == 30.0
    assert history.run.values()[()].total == 150.0


def test_what_waits_is_counted_by_where_it_waits(
    ledger: SqliteLedger, measures: LedgerMetrics
) -> None:
    """Jobs to be planned and accepted, tasks in each state that is not an end."""
    add_job(ledger, 1)
    job = add_job(ledger, 2, "build", "ior")
    ledger.apply([news(job, "build", TaskState.SUBMITTING)])
    backlog = measures.backlog()
    assert (backlog.unplanned, backlog.unaccepted) == (1, 2)
    assert backlog.tasks == {TaskState.PENDING: 1, TaskState.SUBMITTING: 1}


def test_a_ledger_that_can_be_written_is_left_as_it_is(
    ledger: SqliteLedger, measures: LedgerMetrics
) -> None:
    """The probe is taken back; nothing of it is ever seen."""
    assert measures.problem() == ""
    assert ledger.note("probe") is None


def test_a_ledger_that_somebody_holds_cannot_be_written(
    path: Path, ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A probe does not wait for long."""
    monkeypatch.setattr(ledger_metrics, "METRICS_BUSY_S", 0.05)
    with closing(LedgerMetrics.open(path)) as measures, ledger.transaction():
        assert "locked" in measures.problem()


def test_pages_follow_each_other_without_gap_or_overlap(ledger: SqliteLedger, path: Path) -> None:
    """Newest first, also while jobs come in between."""
    for number in range(1, 24):
        add_job(ledger, number, "build")
    seen: list[int] = []
    before = None
    with closing(LedgerPages.open(path)) as pages:
        while True:
            page = pages.page(states=(), before=before, text="", limit=5)
            seen += [job.key.id for job in page.jobs]
            if len(seen) == 5:
                add_job(ledger, 99, "build")
            if not page.more:
                break
            before = page.jobs[-1].place
    assert seen == list(range(23, 0, -1))


def test_pages_are_of_a_state_or_a_name_or_an_id(ledger: SqliteLedger, path: Path) -> None:
    """The total is of all that match; tasks are counted, and those that are over."""
    complete(ledger, add_job(ledger, 1, "build", "ior"))
    add_job(ledger, 2, "build")
    add_job(ledger, 13)
    with closing(LedgerPages.open(path)) as pages:
        running = pages.page(states=(JobState.RUNNING,), before=None, text="", limit=5)
        (job,) = running.jobs
        assert (job.key.id, job.tasks, job.over, running.total) == (1, 2, 1, 1)
        assert job.started == 1006.0
        by_id = pages.page(states=(), before=None, text="13", limit=5)
        assert [found.key.id for found in by_id.jobs] == [13]
        assert pages.page(states=(), before=None, text="JOB", limit=2).total == 3
        assert pages.page(states=(), before=None, text="%", limit=2).total == 0
        for text in ("_", "\\", "x" * 60_000, "9" * 40, "013", "-13"):
            assert pages.page(states=(), before=None, text=text, limit=2).total == 0, text[:9]
        failed = pages.page(states=(JobState.FAILED,), before=None, text="job", limit=2)
        assert (failed.total, failed.jobs) == (0, [])
