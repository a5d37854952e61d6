"""A workload manager that takes no job at all costs no job: all of them wait, until it does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import SubmissionsHeld
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.core.workload_values import Submission, SubmitOutcome
from support.common import jobspec_json
from support.dispatch import DIAMOND, Harness
from support.ledger import checked_ledger


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    """A dispatcher over an empty ledger and an instance without a default queue."""
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        harness = Harness(ledger)
        harness.server.held = "no queue specified"
        yield harness


def states(harness: Harness) -> set[TaskState]:
    """The states in which tasks are."""
    return {row.state for row in harness.ledger.tasks_in(set(TaskState))}


def test_every_job_waits(harness: Harness) -> None:
    """Nothing is refused; each task is pending, with the workload manager's words."""
    keys = harness.receive(*[jobspec_json(DIAMOND)] * 20)
    with pytest.raises(SubmissionsHeld, match="no queue specified"):
        harness.run()
    assert {harness.job(key) for key in keys} == {JobState.RECEIVED}
    assert states(harness) == {TaskState.PENDING}
    assert not harness.dispatcher.unfinished()
    assert harness.dispatcher.behind()


def test_one_job_at_a_time_is_tried(harness: Harness) -> None:
    """While nothing is taken a round costs one submission and not a burst."""
    harness.receive(*[jobspec_json({"one": []})] * 50)
    with pytest.raises(SubmissionsHeld):
        harness.run()
    tried: list[Submission] = []
    admit = harness.server.admit

    def count(submission: Submission) -> SubmitOutcome:
        tried.append(submission)
        return admit(submission)

    harness.server.admit = count  # type: ignore[method-assign]
    for _ in range(3):
        with pytest.raises(SubmissionsHeld):
            harness.run()
    assert len(tried) == 3


def test_all_run_once_when_jobs_are_taken_again(harness: Harness) -> None:
    """The same connection continues where it was."""
    keys = harness.receive(*[jobspec_json(DIAMOND)] * 10)
    for _ in range(2):
        with pytest.raises(SubmissionsHeld):
            harness.run()
    harness.server.held = None
    harness.run()
    assert {harness.job(key) for key in keys} == {JobState.SUBMITTED}
    assert set(harness.server.became_job.values()) == {1}
    assert len(harness.server.became_job) == 40


def test_a_hold_in_the_middle_of_a_job(harness: Harness) -> None:
    """What was taken before stays; what depends on it follows later, with its dependencies."""
    (key,) = harness.receive(jobspec_json(DIAMOND))
    harness.server.held = None
    admit = harness.server.admit

    def first_only(submission: Submission) -> SubmitOutcome:
        outcome = admit(submission)
        harness.server.held = "maintenance"
        return outcome

    harness.server.admit = first_only  # type: ignore[method-assign]
    with pytest.raises(SubmissionsHeld, match="maintenance"):
        harness.run()
    assert states(harness) == {TaskState.SUBMITTED, TaskState.PENDING}
    harness.server.admit = admit  # type: ignore[method-assign]
    harness.server.held = None
    harness.run()
    assert harness.job(key) is JobState.SUBMITTED
    by_name = {job.key.task: job for job in harness.server.jobs.values()}
    assert by_name["left"].waits_for == {by_name["build"].flux_id}
