"""ports.Ledger.apply: news of tasks, stale news, and what follows for jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rainbow_agent.core.errors import InvalidTransition
from rainbow_agent.core.model import JobChange, JobKey, JobRow, Refusal, TaskRow
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from support.ledger import add_job, news


def job(ledger: SqliteLedger, key: JobKey) -> JobRow:
    row = ledger.job(key)
    assert row is not None
    return row


def task(ledger: SqliteLedger, key: JobKey) -> TaskRow:
    return ledger.tasks_of(key)[0]


class TestOneTask:
    """A job with one task goes where the task goes."""

    def test_a_life(self, ledger: SqliteLedger) -> None:
        """Each step has its time, and the job follows it."""
        key = add_job(ledger, 1, "a", at=0.5)
        assert ledger.apply([news(key, "a", TaskState.SUBMITTING, 1.0)]) == []
        assert ledger.apply([news(key, "a", TaskState.SUBMITTED, 2.0, flux_id=2**62)]) == [
            JobChange(key, JobState.RECEIVED, JobState.SUBMITTED, None)
        ]
        assert ledger.apply([news(key, "a", TaskState.RUNNING, 3.1, started=3.0)]) == [
            JobChange(key, JobState.SUBMITTED, JobState.RUNNING, None)
        ]
        end = news(key, "a", TaskState.COMPLETED, 4.1, finished=4.0, exit_code=0)
        assert ledger.apply([end]) == [JobChange(key, JobState.RUNNING, JobState.COMPLETED, None)]
        row = task(ledger, key)
        assert (row.flux_id, row.exit_code, row.reason) == (2**62, 0, None)
        assert (row.submitted, row.started, row.finished) == (2.0, 3.0, 4.0)
        assert (job(ledger, key).finished, job(ledger, key).reason) == (4.0, None)

    def test_a_clock_that_is_set_back(self, ledger: SqliteLedger) -> None:
        """What comes later has no earlier time, also when it is repeated."""
        key = add_job(ledger, 1, "a", at=5000.0)
        moves = [
            news(key, "a", TaskState.SUBMITTED, 4990.0, flux_id=7),
            news(key, "a", TaskState.RUNNING, 1400.0),
            news(key, "a", TaskState.COMPLETED, 1410.0, exit_code=0),
        ]
        for _ in range(2):
            for each in moves:
                ledger.apply([each])
            ledger.mark_accepted("r1", [1], 1420.0)
            row = task(ledger, key)
            assert (row.submitted, row.started, row.finished) == (4990.0, 4990.0, 4990.0)
            found = job(ledger, key)
            assert (found.received, found.accepted, found.finished) == (5000.0, 5000.0, 5000.0)

    def test_a_refusal_after_the_clock_was_set_back(self, ledger: SqliteLedger) -> None:
        """It is not before the job came."""
        key = add_job(ledger, 1, at=5000.0)
        ledger.record_plans([], [Refusal(key, "no")], 1400.0)
        assert job(ledger, key).finished == 5000.0
        assert [line.at for line in ledger.story(key)] == [5000.0, 5000.0]

    def test_a_life_in_one_batch(self, ledger: SqliteLedger) -> None:
        """The job moves once, from where it was to where it ends; the story keeps every step."""
        key = add_job(ledger, 1, "a")
        steps = [TaskState.SUBMITTING, TaskState.SUBMITTED, TaskState.RUNNING, TaskState.FAILED]
        changes = [news(key, "a", state, float(n)) for n, state in enumerate(steps)]
        assert ledger.apply(changes) == [
            JobChange(key, JobState.RECEIVED, JobState.FAILED, None, ran=1.0)
        ]
        moves = [line.now for line in ledger.story(key) if line.task]
        assert moves == ["pending", "submitting", "submitted", "running", "failed"]

    def test_missing_times_are_the_times_of_the_news(self, ledger: SqliteLedger) -> None:
        """News without started or finished is as good as its own time."""
        key = add_job(ledger, 1, "a")
        ledger.apply([news(key, "a", TaskState.RUNNING, 3.0)])
        ledger.apply([news(key, "a", TaskState.FAILED, 4.0)])
        row = task(ledger, key)
        assert (row.submitted, row.started, row.finished) == (None, 3.0, 4.0)

    def test_a_task_that_never_arrived_is_pending_again(self, ledger: SqliteLedger) -> None:
        """After a crash, submitting may step back, and is then sent again."""
        key = add_job(ledger, 1, "a")
        ledger.apply([news(key, "a", TaskState.SUBMITTING)])
        assert ledger.apply([news(key, "a", TaskState.PENDING)]) == []
        assert task(ledger, key).state is TaskState.PENDING
        assert ledger.unaccepted("r1") == []

    def test_unknown_tasks_are_skipped(self, ledger: SqliteLedger) -> None:
        """Unknown jobs, tasks and replicas; the rest of the batch is written."""
        key = add_job(ledger, 1, "a")
        unknown = [
            news(JobKey("r9", 1), "a", TaskState.RUNNING),
            news(key, "b", TaskState.RUNNING),
            news(key, "a", TaskState.RUNNING, replica=1),
        ]
        assert ledger.apply(unknown) == []
        changes = ledger.apply([*unknown, news(key, "a", TaskState.SUBMITTED)])
        assert [change.now for change in changes] == [JobState.SUBMITTED]

    def test_no_news_is_no_change(self, ledger: SqliteLedger) -> None:
        """An empty batch answers with nothing."""
        assert ledger.apply([]) == []


class TestStaleNews:
    """News of what a task has passed."""

    @pytest.mark.parametrize(
        "state",
        [TaskState.PENDING, TaskState.SUBMITTING, TaskState.SUBMITTED, TaskState.RUNNING],
    )
    def test_it_changes_no_state_and_no_story(self, ledger: SqliteLedger, state: TaskState) -> None:
        """A completed task stays completed."""
        key = add_job(ledger, 1, "a")
        ledger.apply([news(key, "a", TaskState.COMPLETED, 5.0, exit_code=0)])
        story = ledger.story(key)
        assert ledger.apply([news(key, "a", state, 6.0)]) == []
        assert ledger.story(key) == story
        assert job(ledger, key).state is JobState.COMPLETED

    def test_it_fills_what_is_empty(self, ledger: SqliteLedger) -> None:
        """The journal may tell the end first; what came before is then learned after."""
        key = add_job(ledger, 1, "a")
        ledger.apply([news(key, "a", TaskState.FAILED, 9.0)])
        ledger.apply([news(key, "a", TaskState.SUBMITTED, 2.0, flux_id=7)])
        ledger.apply([news(key, "a", TaskState.RUNNING, 3.0)])
        ledger.apply([news(key, "a", TaskState.FAILED, 4.0, exit_code=3, reason="exit code 3")])
        row = task(ledger, key)
        assert (row.flux_id, row.exit_code, row.reason) == (7, 3, "exit code 3")
        assert (row.submitted, row.started, row.finished) == (2.0, 3.0, 9.0)
        assert job(ledger, key).reason == "exit code 3"

    def test_it_overwrites_nothing(self, ledger: SqliteLedger) -> None:
        """What is known stays, whatever comes late."""
        key = add_job(ledger, 1, "a")
        facts: dict[str, Any] = {
            "flux_id": 7,
            "exit_code": 3,
            "reason": "first",
            "started": 3.0,
            "finished": 4.0,
        }
        ledger.apply([news(key, "a", TaskState.SUBMITTED, 2.0)])
        ledger.apply([news(key, "a", TaskState.FAILED, 4.0, **facts)])
        before = job(ledger, key)
        late: dict[str, Any] = {
            "flux_id": 8,
            "exit_code": 4,
            "reason": "late",
            "started": 5.0,
            "finished": 6.0,
        }
        for state in (TaskState.SUBMITTED, TaskState.RUNNING, TaskState.FAILED):
            assert ledger.apply([news(key, "a", state, 7.0, **late)]) == []
        assert job(ledger, key) == before

    def test_that_a_task_started_moves_its_job_still(self, ledger: SqliteLedger) -> None:
        """A job of which a task has run is running, even if that is learned late."""
        key = add_job(ledger, 1, "a", "b")
        ledger.apply(
            [news(key, "a", TaskState.CANCELED, 5.0), news(key, "b", TaskState.SUBMITTED, 2.0)]
        )
        assert job(ledger, key).state is JobState.SUBMITTED
        changes = ledger.apply([news(key, "a", TaskState.RUNNING, 3.0)])
        assert changes == [JobChange(key, JobState.SUBMITTED, JobState.RUNNING, None)]

    def test_a_second_journal_changes_nothing(self, ledger: SqliteLedger) -> None:
        """A restarted agent reads all history again: rows and stories stay as they are."""
        keys = [add_job(ledger, n, ("a", 2), "b") for n in (1, 2)]
        states = [TaskState.SUBMITTED, TaskState.RUNNING, TaskState.COMPLETED]
        history = [
            news(key, "a", state, float(n), replica=replica, flux_id=n)
            for n, state in enumerate(states)
            for key in keys
            for replica in (0, 1)
        ]
        ledger.apply(history)
        before = ledger.jobs(), [ledger.story(key) for key in keys]
        assert ledger.apply(history) == []
        assert (ledger.jobs(), [ledger.story(key) for key in keys]) == before


class TestFinalStates:
    """What is over stays over."""

    @pytest.mark.parametrize("late", [TaskState.COMPLETED, TaskState.CANCELED, TaskState.LOST])
    def test_no_other_final_state_follows(self, ledger: SqliteLedger, late: TaskState) -> None:
        """The whole batch is refused, and the error tells the story."""
        key, other = add_job(ledger, 1, "a"), add_job(ledger, 2, "a")
        ledger.apply([news(key, "a", TaskState.FAILED, 4.0)])
        before = ledger.jobs(), ledger.story(other)
        with pytest.raises(InvalidTransition) as caught:
            ledger.apply([news(other, "a", TaskState.RUNNING), news(key, "a", late)])
        for said in ("r1/1/a/0", "failed is final", f"become {late.value}", "pending -> failed"):
            assert said in str(caught.value)
        assert (ledger.jobs(), ledger.story(other)) == before

    def test_nor_within_one_batch(self, ledger: SqliteLedger) -> None:
        """Two ends of one task in one batch: nothing is written."""
        key = add_job(ledger, 1, "a")
        with pytest.raises(InvalidTransition):
            ledger.apply([news(key, "a", TaskState.COMPLETED), news(key, "a", TaskState.FAILED)])
        assert job(ledger, key).state is JobState.RECEIVED

    def test_a_caught_refusal_leaves_the_transaction_usable(self, ledger: SqliteLedger) -> None:
        """Who applies one by one in a transaction keeps the others."""
        key, other = add_job(ledger, 1, "a"), add_job(ledger, 2, "a")
        ledger.apply([news(key, "a", TaskState.FAILED)])
        with ledger.transaction():
            with pytest.raises(InvalidTransition):
                ledger.apply([news(key, "a", TaskState.LOST)])
            ledger.apply([news(other, "a", TaskState.RUNNING)])
        assert job(ledger, other).state is JobState.RUNNING


class TestManyTasks:
    """A job's state, reason and end from those of its tasks."""

    def test_it_is_submitted_when_all_are(self, ledger: SqliteLedger) -> None:
        """One replica short of it, it is still received."""
        key = add_job(ledger, 1, ("a", 3))
        sent = [news(key, "a", TaskState.SUBMITTED, replica=n) for n in range(3)]
        assert ledger.apply(sent[:2]) == []
        assert [change.now for change in ledger.apply(sent[2:])] == [JobState.SUBMITTED]

    def test_it_runs_until_all_have_ended(self, ledger: SqliteLedger) -> None:
        """A gap between two tasks is no pause of the job; its end is that of its last task."""
        key = add_job(ledger, 1, "a", "b", at=0.5)
        ledger.apply([news(key, name, TaskState.SUBMITTED, 1.0) for name in "ab"])
        ledger.apply([news(key, "a", TaskState.COMPLETED, 5.0, started=4.0)])
        assert job(ledger, key).state is JobState.RUNNING
        assert job(ledger, key).finished is None
        ledger.apply([news(key, "b", TaskState.COMPLETED, 9.0, finished=8.0)])
        assert (job(ledger, key).state, job(ledger, key).finished) == (JobState.COMPLETED, 8.0)

    def test_the_reason_is_that_of_the_first_failure(self, ledger: SqliteLedger) -> None:
        """First in time, not in the order of news; a failure goes before what it canceled."""
        key = add_job(ledger, 1, "a", "b", "c")
        changes = [
            news(key, "c", TaskState.CANCELED, 4.0, reason="dependency"),
            news(key, "b", TaskState.FAILED, 6.0, finished=6.0, reason="exit code 2"),
            news(key, "a", TaskState.FAILED, 7.0, finished=5.0, reason="exit code 1", started=3.0),
        ]
        assert [change.reason for change in ledger.apply(changes)] == ["exit code 1"]
        assert job(ledger, key).reason == "exit code 1"

    @pytest.mark.parametrize(
        ("ends", "state", "reason"),
        [
            ((TaskState.FAILED, TaskState.LOST), JobState.LOST, "it is b"),
            ((TaskState.CANCELED, TaskState.FAILED), JobState.FAILED, "it is b"),
            ((TaskState.COMPLETED, TaskState.CANCELED), JobState.CANCELED, "it is b"),
            ((TaskState.COMPLETED, TaskState.COMPLETED), JobState.COMPLETED, None),
        ],
    )
    def test_the_worst_end_decides(
        self,
        ledger: SqliteLedger,
        ends: tuple[TaskState, TaskState],
        state: JobState,
        reason: str | None,
    ) -> None:
        """Lost, then failed, then canceled; the reason is that of the task that decided."""
        key = add_job(ledger, 1, "a", "b")
        names = zip("ab", ends, strict=True)
        changes = [news(key, name, end, 2.0, reason=f"it is {name}") for name, end in names]
        assert ledger.apply(changes) == [JobChange(key, JobState.RECEIVED, state, reason)]

    def test_a_job_that_can_never_run_is_refused(self, ledger: SqliteLedger) -> None:
        """The workload manager's words are the reason, also if they came some time before."""
        key = add_job(ledger, 1, "a", "b")
        words = "unsatisfiable request: too many cores"
        ledger.apply([news(key, "a", TaskState.FAILED, 2.0, reason=words, unsatisfiable=True)])
        changes = ledger.apply([news(key, "b", TaskState.CANCELED, 3.0, reason="dependency")])
        assert changes == [JobChange(key, JobState.RECEIVED, JobState.REFUSED, words)]

    def test_a_job_that_started_is_not_refused(self, ledger: SqliteLedger) -> None:
        """Something of it ran, so it failed; what ran may since have been canceled."""
        key = add_job(ledger, 1, "a", "b")
        ledger.apply([news(key, "a", TaskState.RUNNING, 2.0)])
        ledger.apply([news(key, "a", TaskState.CANCELED, 3.0)])
        end = news(key, "b", TaskState.FAILED, 4.0, reason="too big", unsatisfiable=True)
        assert [change.now for change in ledger.apply([end])] == [JobState.FAILED]

    def test_that_it_can_never_run_may_come_after_its_end(self, ledger: SqliteLedger) -> None:
        """As long as the job is open, the workload manager's verdict still counts."""
        key = add_job(ledger, 1, "a", "b")
        end = news(key, "a", TaskState.FAILED, 2.0)
        ledger.apply([end])
        ledger.apply([replace(end, unsatisfiable=True)])
        changes = ledger.apply([news(key, "b", TaskState.CANCELED, 3.0)])
        assert [change.now for change in changes] == [JobState.REFUSED]

    def test_news_that_comes_after_a_jobs_end_does_not_change_it(
        self, ledger: SqliteLedger
    ) -> None:
        """That a task had started, or could never run, is kept with the task alone."""
        refused, failed = add_job(ledger, 1, "a"), add_job(ledger, 2, "a")
        ends = [news(key, "a", TaskState.FAILED, 2.0) for key in (refused, failed)]
        ledger.apply([replace(ends[0], unsatisfiable=True), ends[1]])
        late = [replace(ends[0], started=1.0), replace(ends[1], unsatisfiable=True)]
        assert ledger.apply(late) == []
        assert [row.state for row in ledger.jobs()] == [JobState.REFUSED, JobState.FAILED]
        assert task(ledger, refused).started == 1.0

    def test_many_jobs_in_one_batch(self, ledger: SqliteLedger) -> None:
        """Each job moves on its own; those that did not move are not in the answer."""
        keys = [add_job(ledger, n, "a", "b") for n in range(1, 4)]
        changes = [news(keys[0], "a", TaskState.RUNNING), news(keys[2], "b", TaskState.FAILED)]
        assert [change.key for change in ledger.apply([*changes, *changes])] == [keys[0]]
        states = [row.state for row in ledger.jobs()]
        assert states == [JobState.RUNNING, JobState.RECEIVED, JobState.RECEIVED]
