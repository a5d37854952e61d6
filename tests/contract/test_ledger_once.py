"""The ledger: a job's key, by which it runs once on its cluster however often it is sent."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from rainbow_agent.core.model import FoundJob, JobKey, PlannedTask, Refusal, Registration
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage import ledger_once
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_history import Keep, LedgerHistory
from support.ledger import NEXT, REGISTRATION, add_job, news, planned

OTHER = Registration(id="r9", cluster="another", host=REGISTRATION.host, opened=3000.0)


def plan(
    ledger: SqliteLedger, job_id: int, once: str, registration: Registration = REGISTRATION
) -> list[Refusal]:
    """Receive a job and plan it with a key; the refusals."""
    key = add_job(ledger, job_id, registration=registration)
    job = planned(key, "a")
    return ledger.record_plans([replace(job, plan=replace(job.plan, once=once))], [], 1002.0)


def states(ledger: SqliteLedger) -> dict[int, JobState]:
    return {job.key.id: job.state for job in ledger.jobs()}


def test_the_second_job_with_a_key_is_refused(ledger: SqliteLedger) -> None:
    """With the job that came first; what has no key, or another one, runs."""
    assert plan(ledger, 1, "nightly") == []
    (refusal,) = plan(ledger, 2, "nightly")
    assert refusal.key == JobKey("r1", 2)
    assert "job 1 of this cluster came first with the key 'nightly'" in refusal.reason
    assert plan(ledger, 3, "weekly") == plan(ledger, 4, "") == plan(ledger, 5, "") == []
    assert states(ledger) == {
        1: JobState.RECEIVED,
        2: JobState.REFUSED,
        3: JobState.RECEIVED,
        4: JobState.RECEIVED,
        5: JobState.RECEIVED,
    }
    assert ledger.tasks_of(JobKey("r1", 2)) == []


def test_two_jobs_that_are_planned_together_have_an_order(ledger: SqliteLedger) -> None:
    """The first in the list runs."""
    jobs = [planned(add_job(ledger, number), "a") for number in (2, 1)]
    plans = [replace(job, plan=replace(job.plan, once="k")) for job in jobs]
    (refusal,) = ledger.record_plans(plans, [], 1002.0)
    assert refusal.key.id == 1


def test_planned_again_a_job_keeps_its_key(ledger: SqliteLedger) -> None:
    """A job is not its own predecessor."""
    job = planned(add_job(ledger, 1), "a")
    once = replace(job, plan=replace(job.plan, once="k"))
    assert ledger.record_plans([once], [], 1002.0) == []
    assert ledger.record_plans([once], [], 1003.0) == []


def test_a_job_that_could_not_run_takes_no_key(ledger: SqliteLedger) -> None:
    """It was refused, and may be sent again."""
    ledger.record_plans([], [Refusal(add_job(ledger, 1), "no node has ior")], 1002.0)
    assert plan(ledger, 2, "nightly") == []


def test_a_key_outlives_registrations_but_is_one_clusters(ledger: SqliteLedger) -> None:
    """Rainbow that forgot the cluster offers jobs under a new registration."""
    assert plan(ledger, 1, "nightly") == []
    (refusal,) = plan(ledger, 2, "nightly", NEXT)
    assert "job r1/1 of this cluster" in refusal.reason
    assert plan(ledger, 3, "nightly", OTHER) == []


def test_a_key_outlives_the_jobs_details(tmp_path: Path) -> None:
    """And the process: it is on the disk."""
    path = tmp_path / "ledger.sqlite"
    with closing(SqliteLedger.open(path)) as ledger:
        plan(ledger, 1, "nightly")
        key = JobKey("r1", 1)
        ledger.apply([news(key, "a", TaskState.FAILED)])
        ledger.mark_accepted("r1", [1], 1003.0)
        ledger.record_report({key: JobState.FAILED}, 1004.0)
        add_job(ledger, 2, "a")
        with closing(LedgerHistory.open(path)) as history:
            assert history.remove(Keep(0, None), 9000.0) == 1
        assert set(states(ledger)) == {2}
    with closing(SqliteLedger.open(path)) as ledger:
        (refusal,) = plan(ledger, 3, "nightly")
        assert "job 1 of this cluster" in refusal.reason


def test_a_job_that_only_the_workload_manager_knew_brings_its_key(ledger: SqliteLedger) -> None:
    """The ledger was lost, or put back to an older copy."""
    tasks = (PlannedTask("a", 1, (), {}),)
    found = FoundJob(JobKey("r1", 7), REGISTRATION.cluster, "job", 1000.0, tasks, "nightly")
    ledger.open_registration(REGISTRATION)
    ledger.adopt([found], REGISTRATION.host, 1001.0)
    (refusal,) = plan(ledger, 8, "nightly")
    assert "job 7 of this cluster" in refusal.reason


def test_the_oldest_keys_are_forgotten(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond so many, and no earlier."""
    monkeypatch.setattr(ledger_once, "MAX_KEYS", 3)
    for number in range(1, 5):
        assert plan(ledger, number, f"key-{number}") == []
    assert plan(ledger, 5, "key-1") == []
    assert plan(ledger, 6, "key-3") != []
