"""ports.Ledger: what status and jobs read."""

from __future__ import annotations

import pytest

from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.model import Cancellation, JobKey, Refusal, TaskKey
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from support.ledger import NEXT, add_job, news


class TestViews:
    """What status and jobs read."""

    def test_counts_has_every_state(self, ledger: SqliteLedger) -> None:
        """Zeros included, so that a metric never disappears."""
        assert ledger.counts() == dict.fromkeys(JobState, 0)

    def test_jobs_come_by_time_received(self, ledger: SqliteLedger) -> None:
        """Those of one moment in the order of arrival; the limit takes from the front."""
        for n, at in ((5, 1001.0), (4, 1001.0), (9, 1000.5), (1, 1002.0)):
            add_job(ledger, n, "a", at=at)
        assert [job.key.id for job in ledger.jobs()] == [9, 5, 4, 1]
        assert [job.key.id for job in ledger.jobs(newest_first=True)] == [1, 4, 5, 9]
        assert [job.key.id for job in ledger.jobs(limit=2)] == [9, 5]
        assert [job.key.id for job in ledger.jobs(limit=2, newest_first=True)] == [1, 4]
        assert ledger.jobs(limit=0) == []

    def test_jobs_in_some_states(self, ledger: SqliteLedger) -> None:
        """The limit counts the jobs that pass."""
        running = [add_job(ledger, n, "a") for n in (1, 2, 3)]
        ledger.apply([news(key, "a", TaskState.RUNNING) for key in running])
        refused, waiting = add_job(ledger, 4), add_job(ledger, 5)
        ledger.record_plans([], [Refusal(refused, "no")], 1003.0)
        some = {JobState.REFUSED, JobState.RECEIVED}
        assert [job.key for job in ledger.jobs(states=some)] == [refused, waiting]
        found = ledger.jobs(states=[JobState.RUNNING], limit=1, newest_first=True)
        assert [job.key for job in found] == [running[-1]]
        assert ledger.jobs(states=[JobState.LOST]) == []

    def test_what_cannot_be_asked_for_is_no_damage(self, ledger: SqliteLedger) -> None:
        """Text that is none, and numbers beyond 64 bits, are the caller's mistake."""
        add_job(ledger, 1, "a")
        with pytest.raises(UsageError, match="its bytes are not UTF-8"):
            ledger.jobs(name="job\udcff")
        with pytest.raises(UsageError, match="too large"):
            ledger.jobs(limit=2**70)
        with pytest.raises(UsageError, match="too large"):
            ledger.find_jobs(2**70)
        with pytest.raises(UsageError, match="its bytes are not UTF-8"):
            ledger.ask_cancel(Cancellation(JobKey("r1", 1), 1.0, "somebody", "why\udcff"))
        assert len(ledger.jobs()) == 1

    def test_tasks_come_with_their_jobs_unless_not_wanted(self, ledger: SqliteLedger) -> None:
        """Each job has its own tasks, the same as asked for alone."""
        keys = [add_job(ledger, 1, "a", "b"), add_job(ledger, 2, ("c", 3)), add_job(ledger, 3)]
        rows = ledger.jobs()
        assert [len(row.tasks) for row in rows] == [2, 3, 0]
        assert rows == [ledger.job(key) for key in keys]
        assert [row.tasks for row in ledger.jobs(with_tasks=False)] == [(), (), ()]

    def test_tasks_in_states(self, ledger: SqliteLedger) -> None:
        """By job and position, over all registrations."""
        one, two = add_job(ledger, 2, "b", "a"), add_job(ledger, 1, "x", registration=NEXT)
        ledger.apply([news(two, "x", TaskState.SUBMITTING)])
        unsent = ledger.tasks_in({TaskState.PENDING, TaskState.SUBMITTING})
        keys = [TaskKey(one, "b", 0), TaskKey(one, "a", 0), TaskKey(two, "x", 0)]
        assert [task.key for task in unsent] == keys
        assert [task.key for task in ledger.tasks_in([TaskState.SUBMITTING])] == keys[2:]
        assert ledger.tasks_in([]) == []

    def test_a_story_has_every_step_with_its_time_and_cause(self, ledger: SqliteLedger) -> None:
        """From the offer to the end, oldest first."""
        key = add_job(ledger, 1, "a")
        ledger.apply([news(key, "a", TaskState.SUBMITTED, 1002.0)])
        ledger.mark_accepted("r1", [1], 1003.0)
        ledger.apply([news(key, "a", TaskState.COMPLETED, 1004.0)])
        moves = [(line.at, line.task, line.was, line.now) for line in ledger.story(key)]
        assert moves == [
            (1001.0, None, None, "received"),
            (1001.0, "a", None, "pending"),
            (1002.0, "a", "pending", "submitted"),
            (1002.0, None, "received", "submitted"),
            (1003.0, None, "submitted", "accepted"),
            (1004.0, "a", "submitted", "completed"),
            (1004.0, None, "submitted", "completed"),
        ]
        assert all(line.cause for line in ledger.story(key))

    def test_a_job_ends_after_its_tasks_and_for_its_own_reason(self, ledger: SqliteLedger) -> None:
        """Not for that of what was only waiting for the task that failed, heard of last."""
        key = add_job(ledger, 1, "a", "b")
        ledger.apply([news(key, name, TaskState.SUBMITTED, 1002.0) for name in ("a", "b")])
        ledger.apply(
            [
                news(key, "a", TaskState.FAILED, 1004.0, reason="exit code 3", finished=1004.0),
                news(key, "b", TaskState.CANCELED, 1003.0, reason="dependency", finished=1003.0),
            ]
        )
        end = ledger.story(key)[-1]
        assert (end.task, end.now, end.at, end.cause) == (None, "failed", 1004.0, "exit code 3")
