"""What the ledger keeps of reports, and of wishes that a job should end."""

from __future__ import annotations

from rainbow_agent.core.model import Cancellation, JobKey, ReportLine
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from support.ledger import REGISTRATION, add_job, news, offer

RUNNING, COMPLETED = JobState.RUNNING, JobState.COMPLETED


def request(key: JobKey, at: float = 1005.0) -> Cancellation:
    return Cancellation(key, at, "alice@blue-0", "not needed")


class TestReports:
    """record_report and reports_of."""

    def test_only_news_is_kept(self, ledger: SqliteLedger) -> None:
        """A state that was reported before is not reported again, also by another daemon."""
        key = add_job(ledger, 1, "a")
        ledger.record_report({key: RUNNING}, 1002.0)
        ledger.record_report({key: RUNNING}, 1003.0)
        ledger.record_report({key: COMPLETED}, 1004.0)
        assert ledger.reports_of(key) == [
            ReportLine(1002.0, 1002.0, 1, "running", None),
            ReportLine(1004.0, 1004.0, 1, "completed", None),
        ]

    def test_reports_that_end_alike_share_a_row(self, ledger: SqliteLedger) -> None:
        """An outage is one line with how often and until when; it says nothing of the job."""
        key = add_job(ledger, 1, "a")
        ledger.record_report({key: RUNNING}, 1002.0, "connection refused")
        ledger.record_report({key: RUNNING}, 1009.0, "connection refused")
        ledger.record_report({key: RUNNING}, 1010.0)
        assert ledger.reports_of(key) == [
            ReportLine(1002.0, 1009.0, 2, None, "connection refused"),
            ReportLine(1010.0, 1010.0, 1, "running", None),
        ]

    def test_an_outage_after_all_was_told_is_not_of_the_job(self, ledger: SqliteLedger) -> None:
        """What failed before the job came, or once rainbow knew its end, is left out."""
        ledger.record_report({}, 900.0, "connection refused")
        key = add_job(ledger, 1, "a")
        ledger.apply([news(key, "a", TaskState.COMPLETED, 1002.0)])
        ledger.record_report({key: COMPLETED}, 1003.0)
        ledger.record_report({}, 1004.0, "connection refused")
        assert [line.state for line in ledger.reports_of(key)] == ["completed"]

    def test_what_was_not_told_yet_shows_the_outage(self, ledger: SqliteLedger) -> None:
        """While the last state is not reported, reports that fail are why."""
        key = add_job(ledger, 1, "a")
        ledger.record_report({key: JobState.RECEIVED}, 1001.5)
        ledger.apply([news(key, "a", TaskState.COMPLETED, 1002.0)])
        ledger.record_report({}, 1004.0, "connection refused")
        assert [line.problem for line in ledger.reports_of(key)] == [None, "connection refused"]

    def test_an_unknown_job_has_none(self, ledger: SqliteLedger) -> None:
        """Nothing is reported of it, and reporting it is not an error."""
        add_job(ledger, 1)
        unknown = JobKey(REGISTRATION.id, 7)
        ledger.record_report({unknown: RUNNING}, 1002.0)
        assert ledger.reports_of(unknown) == []


class TestCancellations:
    """ask_cancel and what follows."""

    def test_a_wish_is_kept_until_the_job_is_over(self, ledger: SqliteLedger) -> None:
        """With who and why; the first one counts."""
        key = add_job(ledger, 1, "a")
        assert ledger.ask_cancel(request(key))
        assert not ledger.ask_cancel(Cancellation(key, 1006.0, "bob", ""))
        assert ledger.cancellations() == [request(key)]
        ledger.end_cancellation(key, 1007.0)
        assert ledger.cancellations() == []
        found = ledger.cancellation_of(key)
        assert found is not None
        assert (found.who, found.done) == ("alice@blue-0", 1007.0)
        assert found.reason == "canceled by alice@blue-0: not needed"

    def test_a_job_that_is_over_stays_what_it_is(self, ledger: SqliteLedger) -> None:
        """Nothing is asked of it."""
        key = add_job(ledger, 1, "a")
        ledger.apply([news(key, "a", TaskState.COMPLETED)])
        assert not ledger.ask_cancel(request(key))
        assert ledger.cancellation_of(key) is None

    def test_a_job_without_tasks_is_canceled_and_let_go(self, ledger: SqliteLedger) -> None:
        """It is never planned, and rainbow may forget it."""
        key = add_job(ledger, 1)
        assert ledger.cancel_unplanned(key, "canceled by alice", 1005.0)
        assert not ledger.cancel_unplanned(key, "canceled by alice", 1006.0)
        row = ledger.job(key)
        assert row is not None
        assert (row.state, row.reason) == (JobState.CANCELED, "canceled by alice")
        assert (ledger.unplanned(), ledger.unaccepted(REGISTRATION.id)) == ([], [1])

    def test_a_job_with_tasks_is_left_to_them(self, ledger: SqliteLedger) -> None:
        """Its state follows from theirs."""
        key = add_job(ledger, 1, "a")
        assert not ledger.cancel_unplanned(key, "canceled by alice", 1005.0)


class TestChosen:
    """Jobs by name and time, and those that ended badly."""

    def test_by_name_and_time(self, ledger: SqliteLedger) -> None:
        """A pattern as in a shell; from a moment on; both together with states."""
        for n, name in enumerate(["ior-1", "ior-2", "IOR-3", "mdtest"], 1):
            ledger.open_registration(REGISTRATION)
            ledger.record_offers(REGISTRATION.id, [offer(n, name)], 1000.0 + n)
        names = [job.name for job in ledger.jobs(name="ior-*")]
        assert names == ["ior-1", "ior-2"]
        assert [job.name for job in ledger.jobs(since=1003.0)] == ["IOR-3", "mdtest"]
        assert [job.name for job in ledger.jobs(since=1002.0, name="ior-?")] == ["ior-2"]
        assert ledger.jobs(states=[JobState.FAILED], name="*") == []

    def test_ended_badly_is_the_last_first(self, ledger: SqliteLedger) -> None:
        """Failed, refused and lost; not canceled, which somebody wanted."""
        ends = [TaskState.FAILED, TaskState.CANCELED, TaskState.COMPLETED, TaskState.LOST]
        for n, state in enumerate(ends, 1):
            key = add_job(ledger, n, "a")
            ledger.apply([news(key, "a", state, 1010.0 + n, finished=1010.0 + n)])
        assert [job.key.id for job in ledger.ended_badly(5)] == [4, 1]
        assert [job.key.id for job in ledger.ended_badly(1)] == [4]
