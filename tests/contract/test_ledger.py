"""ports.Ledger, behaviour by behaviour: registrations, plans, acceptance, notes, transactions."""

from __future__ import annotations

import pytest

from rainbow_agent.core.errors import InvalidTransition
from rainbow_agent.core.model import (
    JobKey,
    Plan,
    PlannedJob,
    PlannedTask,
    Refusal,
    Registration,
    TaskKey,
    TaskRow,
)
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from support.ledger import NEXT, REGISTRATION, add_job, check_invariants, news, offer, planned


def test_it_satisfies_the_port(ledger: SqliteLedger) -> None:
    """SqliteLedger is a Ledger (mypy checks the assignment)."""
    port: SqliteLedger = ledger
    assert port.open_jobs() == 0


class TestRegistrations:
    """Which registration is the current one."""

    def test_none_is_current_at_first(self, ledger: SqliteLedger) -> None:
        """A new ledger has no registration."""
        assert ledger.current_registration() is None

    def test_the_last_opened_is_current(self, ledger: SqliteLedger) -> None:
        """A second registration takes over, and comes back as it was given."""
        ledger.open_registration(REGISTRATION)
        ledger.open_registration(NEXT)
        assert ledger.current_registration() == NEXT

    def test_opening_again_makes_it_current_again(self, ledger: SqliteLedger) -> None:
        """Opening is idempotent by id, and the time of the first opening stays."""
        ledger.open_registration(REGISTRATION)
        ledger.open_registration(NEXT)
        moved = Registration(REGISTRATION.id, "demo", "other:50051", 3000.0)
        ledger.open_registration(moved)
        current = ledger.current_registration()
        assert current == Registration(REGISTRATION.id, "demo", "other:50051", REGISTRATION.opened)

    def test_a_closed_one_is_not_current(self, ledger: SqliteLedger) -> None:
        """After closing none is: those before it ended when it was opened, said or not."""
        ledger.open_registration(REGISTRATION)
        ledger.open_registration(NEXT)
        ledger.close_registration(NEXT.id, 2001.0)
        assert ledger.current_registration() is None

    def test_closing_leaves_its_jobs(self, ledger: SqliteLedger) -> None:
        """Open jobs of a closed registration stay open, and news of them is still taken."""
        key = add_job(ledger, 1, "a")
        ledger.close_registration(REGISTRATION.id, 2000.0)
        ledger.apply([news(key, "a", TaskState.RUNNING)])
        assert ledger.counts()[JobState.RUNNING] == 1


class TestPlans:
    """From a job to its tasks."""

    def test_planned_tasks_are_pending_in_order(self, ledger: SqliteLedger) -> None:
        """Every replica of every task has a row, by position and replica."""
        key = add_job(ledger, 1, "build", ("run", 2))
        assert ledger.tasks_of(key) == [
            TaskRow(TaskKey(key, "build", 0), 0, TaskState.PENDING, ()),
            TaskRow(TaskKey(key, "run", 0), 1, TaskState.PENDING, ("build",)),
            TaskRow(TaskKey(key, "run", 1), 1, TaskState.PENDING, ("build",)),
        ]
        assert ledger.counts()[JobState.RECEIVED] == 1

    def test_order_is_the_plans_not_the_alphabets(self, ledger: SqliteLedger) -> None:
        """Ten tasks with names that sort otherwise keep their places, replicas as numbers."""
        names = [f"t{n}" for n in range(10, 0, -1)]
        key = add_job(ledger, 1, *names, ("last", 11))
        rows = ledger.tasks_of(key)
        assert [row.key.task for row in rows[:10]] == names
        assert [row.key.replica for row in rows[10:]] == list(range(11))

    def test_a_plan_without_a_name_keeps_the_jobs(self, ledger: SqliteLedger) -> None:
        """The jobspec's own name wins over the one that rainbow was given."""
        add_job(ledger, 1)
        add_job(ledger, 2)
        one, two = JobKey("r1", 1), JobKey("r1", 2)
        plans = [planned(one, "a"), planned(two, "a", name="weather")]
        ledger.record_plans(plans, [], 1002.0)
        assert [job.name for job in ledger.jobs()] == ["job", "weather"]

    def test_unplanned_are_the_received_without_tasks(self, ledger: SqliteLedger) -> None:
        """Oldest first; planned and refused jobs are not among them."""
        keys = [add_job(ledger, n, at=at) for n, at in ((4, 1001.0), (3, 1002.0), (2, 1003.0))]
        assert ledger.unplanned() == keys
        refusal = Refusal(keys[1], "no GPU here")
        ledger.record_plans([planned(keys[0], "a")], [refusal], 1004.0)
        assert ledger.unplanned() == [keys[2]]

    def test_a_refused_job_is_final_with_its_reason(self, ledger: SqliteLedger) -> None:
        """It has a reason and an end, and it is safe to let go."""
        key = add_job(ledger, 1)
        ledger.record_plans([], [Refusal(key, "tasks[0]: no command")], 1002.0)
        row = ledger.job(key)
        assert row is not None
        assert (row.state, row.reason) == (JobState.REFUSED, "tasks[0]: no command")
        assert row.finished == 1002.0
        assert ledger.unaccepted("r1") == [1]

    def test_what_is_decided_stays(self, ledger: SqliteLedger) -> None:
        """The same plan or refusal again changes nothing."""
        plan, no = add_job(ledger, 1), add_job(ledger, 2)
        ledger.record_plans([planned(plan, "a")], [Refusal(no, "first")], 1002.0)
        before = ledger.jobs(), ledger.story(plan), ledger.story(no)
        ledger.record_plans([planned(plan, "b")], [Refusal(no, "second")], 1003.0)
        assert (ledger.jobs(), ledger.story(plan), ledger.story(no)) == before

    def test_a_decision_is_not_turned_round(self, ledger: SqliteLedger) -> None:
        """A refused job is not planned and a planned one not refused; nothing is written."""
        plan, no, other = add_job(ledger, 1, "a"), add_job(ledger, 2), add_job(ledger, 3)
        ledger.record_plans([], [Refusal(no, "no")], 1002.0)
        with pytest.raises(InvalidTransition, match="r1/2: it is refused already"):
            ledger.record_plans([planned(other, "a"), planned(no, "a")], [], 1003.0)
        with pytest.raises(InvalidTransition, match="r1/1: it is received already"):
            ledger.record_plans([planned(other, "a")], [Refusal(plan, "no")], 1003.0)
        assert ledger.unplanned() == [other]

    @pytest.mark.parametrize("tasks", [(), (PlannedTask("a", 0, (), {}),)])
    def test_a_plan_without_tasks_is_a_mistake(
        self, ledger: SqliteLedger, tasks: tuple[PlannedTask, ...]
    ) -> None:
        """Such a job would never end."""
        key = add_job(ledger, 1)
        with pytest.raises(ValueError, match="a plan needs tasks"):
            ledger.record_plans([PlannedJob(key, Plan("", tasks))], [], 1002.0)

    def test_a_plan_for_an_unknown_job_is_a_mistake(self, ledger: SqliteLedger) -> None:
        """It would be lost without a word."""
        with pytest.raises(ValueError, match="r1/1 is not in the ledger"):
            ledger.record_plans([planned(JobKey("r1", 1), "a")], [], 1002.0)


class TestAcceptance:
    """What may be accepted in rainbow."""

    @pytest.mark.parametrize(
        ("state", "safe"),
        [(state, state not in {TaskState.PENDING, TaskState.SUBMITTING}) for state in TaskState],
    )
    def test_a_job_is_safe_when_no_task_is_unsent(
        self, ledger: SqliteLedger, state: TaskState, safe: bool
    ) -> None:
        """One task that is pending or submitting holds the whole job back."""
        key = add_job(ledger, 1, "a", "b")
        ledger.apply([news(key, "a", TaskState.SUBMITTED), news(key, "b", state)])
        assert ledger.unaccepted("r1") == ([1] if safe else [])

    def test_an_unplanned_job_is_not_safe(self, ledger: SqliteLedger) -> None:
        """Nothing is known of it yet."""
        add_job(ledger, 1)
        assert ledger.unaccepted("r1") == []

    def test_accepted_jobs_are_not_offered_again(self, ledger: SqliteLedger) -> None:
        """The first time counts; ids that are unknown or accepted before are not an error."""
        for n in (2, 1):
            ledger.apply([news(add_job(ledger, n, "a"), "a", TaskState.SUBMITTED)])
        assert ledger.unaccepted("r1") == [1, 2]
        ledger.mark_accepted("r1", [2, 99], 1003.0)
        ledger.mark_accepted("r1", [2], 1004.0)
        assert ledger.unaccepted("r1") == [1]
        assert [job.accepted for job in ledger.jobs()] == [1003.0, None]
        lines = [line for line in ledger.story(JobKey("r1", 2)) if line.now == "accepted"]
        assert [line.at for line in lines] == [1003.0]

    def test_only_of_the_registration_that_is_asked_for(self, ledger: SqliteLedger) -> None:
        """Ids of another registration mean other jobs."""
        ledger.apply([news(add_job(ledger, 1, "a"), "a", TaskState.SUBMITTED)])
        add_job(ledger, 2, "a", registration=NEXT)
        assert ledger.unaccepted(NEXT.id) == []
        ledger.mark_accepted(NEXT.id, [], 1003.0)
        assert ledger.unaccepted(REGISTRATION.id) == [1]


def write_and_fail(ledger: SqliteLedger) -> None:
    with ledger.transaction():
        ledger.open_registration(REGISTRATION)
        ledger.put_note("fact", 1)
        ledger.record_offers("r1", [offer(2)], 1002.0)
        raise KeyError("stop")


class TestNotesAndTransactions:
    """Small facts; several calls as one."""

    @pytest.mark.parametrize("value", [1, 0.5, "caf\u00e9", None, [1, {"a": None}], {"cores": 4}])
    def test_a_note_comes_back(self, ledger: SqliteLedger, value: object) -> None:
        """The last one under a name; None before the first."""
        assert ledger.note("fact") is None
        ledger.put_note("fact", "before")
        ledger.put_note("fact", value)
        assert ledger.note("fact") == value

    def test_a_transaction_is_all_or_nothing(self, ledger: SqliteLedger) -> None:
        """An exception undoes every call in the block, and passes."""
        add_job(ledger, 1)
        with pytest.raises(KeyError, match="stop"):
            write_and_fail(ledger)
        assert ledger.note("fact") is None
        assert len(ledger.jobs()) == 1

    def test_an_inner_transaction_fails_alone(self, ledger: SqliteLedger) -> None:
        """A caller that catches its error keeps what came before and after."""
        with ledger.transaction():
            ledger.put_note("before", 1)
            with pytest.raises(KeyError, match="stop"):
                write_and_fail(ledger)
            with ledger.transaction():
                ledger.put_note("after", 1)
        assert [ledger.note(n) for n in ("before", "fact", "after")] == [1, None, 1]

    def test_a_transaction_reads_what_it_wrote(self, ledger: SqliteLedger) -> None:
        """Views inside the block see its own writes."""
        with ledger.transaction():
            add_job(ledger, 1, "a")
            assert ledger.open_jobs() == 1
            check_invariants(ledger)
