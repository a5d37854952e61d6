"""ports.Ledger: jobs as they come from rainbow, and come again, and as Flux alone knew them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rainbow_agent.core.model import FoundJob, JobKey, Offer
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from support.ledger import NEXT, REGISTRATION, add_job, news, offer, planned


class TestOffers:
    """Jobs as they come from rainbow."""

    def test_new_jobs_are_stored_as_received(self, ledger: SqliteLedger) -> None:
        """The new keys come back in order; name, time and jobspec are kept word for word."""
        ledger.open_registration(REGISTRATION)
        text = 'name: "caf\u00e9"\n# \\ \' "\n'
        offers = [Offer(7, "seven", "demo", text), offer(8)]
        keys = ledger.record_offers("r1", offers, 1001.0)
        assert keys == [JobKey("r1", 7), JobKey("r1", 8)]
        row = ledger.job(keys[0])
        assert row is not None
        assert (row.name, row.state, row.received) == ("seven", JobState.RECEIVED, 1001.0)
        assert (row.reason, row.accepted, row.finished, row.tasks) == (None, None, None, ())
        assert ledger.jobspecs(keys) == {keys[0]: text, keys[1]: offer(8).jobspec}

    def test_known_jobs_are_left_as_they_are(self, ledger: SqliteLedger) -> None:
        """The same rows again, in one call or a later one, are no new jobs and change none."""
        ledger.open_registration(REGISTRATION)
        assert len(ledger.record_offers("r1", [offer(1, "first"), offer(1, "first")], 1001.0)) == 1
        again = ledger.record_offers("r1", [offer(1, "first"), offer(2)], 1002.0)
        assert again == [JobKey("r1", 2)]
        row = ledger.job(JobKey("r1", 1))
        assert row is not None
        assert (row.name, row.received) == ("first", 1001.0)

    def test_the_same_id_of_another_registration_is_another_job(self, ledger: SqliteLedger) -> None:
        """Ids start over when rainbow loses its database."""
        old = add_job(ledger, 1, "a")
        ledger.apply([news(old, "a", TaskState.SUBMITTED)])
        ledger.mark_accepted(REGISTRATION.id, [1], 1003.0)
        new = add_job(ledger, 1, "b", registration=NEXT)
        assert [task.key.task for task in ledger.tasks_of(old)] == ["a"]
        assert [task.key.task for task in ledger.tasks_of(new)] == ["b"]
        assert ledger.find_jobs(1) == [new, old]
        assert ledger.find_jobs(2) == []

    def test_a_row_that_comes_again_under_the_next_registration(self, ledger: SqliteLedger) -> None:
        """Same id and text, and not accepted before: it is that job, and runs once."""
        old = add_job(ledger, 1, "a")
        ledger.open_registration(NEXT)
        assert ledger.record_offers(NEXT.id, [offer(1)], 1004.0) == []
        assert ledger.record_offers(NEXT.id, [offer(1)], 1005.0) == []
        assert ledger.find_jobs(1) == [old]
        assert ledger.let_go(NEXT.id, [1]) == set()
        ledger.apply([news(old, "a", TaskState.SUBMITTED)])
        assert ledger.unaccepted(REGISTRATION.id) == []
        assert ledger.unaccepted(NEXT.id) == [1]
        ledger.mark_accepted(NEXT.id, [1], 1006.0)
        assert ledger.unaccepted(NEXT.id) == []
        assert any("offers the row of r1/1 again" in line.cause for line in ledger.story(old))

    def test_another_text_under_the_next_registration_is_another_job(
        self, ledger: SqliteLedger
    ) -> None:
        """Only the very same row is recognised."""
        old = add_job(ledger, 1, "a")
        ledger.open_registration(NEXT)
        other = replace(offer(1), jobspec="another")
        assert ledger.record_offers(NEXT.id, [other], 1004.0) == [JobKey(NEXT.id, 1)]
        assert set(ledger.find_jobs(1)) == {old, JobKey(NEXT.id, 1)}

    def test_a_task_goes_back_only_when_its_own_job_is_gone(self, ledger: SqliteLedger) -> None:
        """Its instance was replaced: pending again, all that was known of that job forgotten."""
        key = add_job(ledger, 1, "a")
        ledger.apply([news(key, "a", TaskState.RUNNING, flux_id=7)])
        ledger.apply([news(key, "a", TaskState.PENDING, flux_id=7)])
        ledger.apply([news(key, "a", TaskState.PENDING, flux_id=8, again=True)])
        assert ledger.tasks_of(key)[0].state is TaskState.RUNNING
        ledger.apply([news(key, "a", TaskState.PENDING, flux_id=7, again=True)])
        (task,) = ledger.tasks_of(key)
        assert (task.state, task.flux_id, task.started) == (TaskState.PENDING, None, None)
        ledger.apply([news(key, "a", TaskState.COMPLETED, flux_id=9)])
        found = ledger.job(key)
        assert found is not None
        assert found.state is JobState.COMPLETED

    def test_jobs_that_only_the_workload_manager_knew(self, ledger: SqliteLedger) -> None:
        """They are stored with their tasks as submitting, and a registration that is over."""
        key = JobKey("r-old", 5)
        plan = planned(key, "a", ("b", 2), name="lost").plan
        found = FoundJob(key, "demo", "lost", 900.0, plan.tasks)
        ledger.adopt([found], "127.0.0.1:1", 1000.0)
        ledger.adopt([found], "127.0.0.1:1", 1001.0)
        assert ledger.known([key, JobKey("r-old", 6)]) == {key}
        assert ledger.registrations() == {"r-old"}
        assert ledger.current_registration() is None
        assert {task.state for task in ledger.tasks_of(key)} == {TaskState.SUBMITTING}
        assert ledger.names([key]) == {key: "lost"}
        assert ledger.unplanned() == []

    def test_offers_of_a_registration_that_was_never_opened_are_a_mistake(
        self, ledger: SqliteLedger
    ) -> None:
        """Nothing would ever look for such jobs."""
        with pytest.raises(ValueError, match="'r9' is not in the ledger"):
            ledger.record_offers("r9", [offer(1)], 1001.0)

    def test_jobspecs_of_unknown_jobs_are_left_out(self, ledger: SqliteLedger) -> None:
        """An unknown job is not in the answer; it is no error."""
        assert ledger.jobspecs([JobKey("r1", 1)]) == {}
        assert ledger.job(JobKey("r1", 1)) is None
        assert ledger.tasks_of(JobKey("r1", 1)) == []
        assert ledger.story(JobKey("r1", 1)) == []
