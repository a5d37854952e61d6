"""Planning and submitting: in order, once, with a reason for whatever does not go."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.model import JobKey, PlannedTask, Submission, TaskKey
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.jobs.dispatcher import CHUNK, complete
from rainbow_agent.jobs.order import rows_of
from support.common import jobspec_json
from support.dispatch import DIAMOND, Desk
from support.ledger import checked_ledger


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Desk(ledger)


def afterok(desk: Desk, key: JobKey, task: str) -> set[int]:
    flux_id = desk.ids(key)[task]
    assert flux_id is not None
    return set(desk.server.jobs[flux_id].submission.afterok)


def test_a_job_is_submitted_in_dependency_order(desk: Desk) -> None:
    """Each task waits for the ids of what it depends on; the ledger has every id."""
    (key,) = desk.receive(jobspec_json(DIAMOND))
    desk.run()
    ids = desk.ids(key)
    assert desk.job(key) is JobState.SUBMITTED
    assert afterok(desk, key, "left") == afterok(desk, key, "right") == {ids["build"]}
    assert afterok(desk, key, "report") == {ids["left"], ids["right"]}
    assert not desk.dispatcher.behind()
    assert [(c.was, c.now) for c in desk.changes] == [(JobState.RECEIVED, JobState.SUBMITTED)]


def test_every_replica_is_waited_for(desk: Desk) -> None:
    """What depends on a task with three replicas waits for all three."""
    (key,) = desk.receive(jobspec_json({"many": [], "last": ["many"]}, replicas={"many": 3}))
    desk.run()
    many = {row.flux_id for row in desk.ledger.tasks_of(key) if row.key.task == "many"}
    assert len(many) == 3
    assert afterok(desk, key, "last") == many


def test_a_submission_carries_environment_and_key(desk: Desk) -> None:
    """The task is found again by its key, and runs in the host's environment."""
    (key,) = desk.receive(jobspec_json({"build": []}))
    desk.run()
    (job,) = desk.server.jobs.values()
    attributes = job.submission.jobspec["attributes"]
    assert TaskKey.from_attribute(attributes["user"]["rainbow"]) == TaskKey(key, "build", 0)
    assert attributes["system"]["environment"] == {"PATH": "/bin"}
    assert attributes["system"]["job"] == {"name": "build"}


def test_the_jobspecs_own_environment_wins() -> None:
    """The host's environment lies underneath; the shared plan is left as it was."""
    spec: dict[str, Any] = {
        "attributes": {"system": {"environment": {"A": "job"}}, "user": {"mine": 1}}
    }
    before = repr(spec)
    key = TaskKey(JobKey("r1", 1), "x", 2)
    done = complete(PlannedTask("x", 3, (), spec), key, {"A": "host", "B": "host"})["attributes"]
    assert done["system"]["environment"] == {"A": "job", "B": "host"}
    assert done["user"] == {"mine": 1, "rainbow": key.to_attribute()}
    assert repr(spec) == before


def test_the_intent_is_on_disk_before_the_workload_manager_hears_of_it(desk: Desk) -> None:
    """At the moment of each submission the ledger says `submitting`."""
    seen = []

    def witness(submission: Submission) -> None:
        rows = desk.ledger.tasks_of(submission.key.job)
        seen.append(next(row.state for row in rows if row.key == submission.key))

    desk.server.refuse = witness
    desk.receive(jobspec_json(DIAMOND), jobspec_json({"one": []}))
    desk.run()
    assert seen == [TaskState.SUBMITTING] * 5


def test_a_job_that_cannot_be_planned_is_refused_and_others_go_on(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused with the reason, said once in the log; its neighbours are submitted."""
    good = jobspec_json({"one": []})
    with caplog.at_level(logging.WARNING):
        first, bad, last = desk.receive(good, "tasks: [", good)
        desk.run()
    found = desk.ledger.job(bad)
    assert found is not None
    assert (found.state, found.reason) == (JobState.REFUSED, "this is no jobspec: 'tasks: ['")
    assert desk.job(first) is desk.job(last) is JobState.SUBMITTED
    assert sum("tasks: [" in message for message in caplog.messages) == 1
    assert not desk.dispatcher.behind()


def test_a_refused_submission_takes_what_depends_on_it_along(desk: Desk) -> None:
    """The workload manager's words are the reason; what does not depend on it runs."""
    desk.server.refuse = lambda s: "unknown property" if s.key.task == "left" else None
    (key,) = desk.receive(jobspec_json({**DIAMOND, "alone": []}))
    desk.run()
    assert desk.states(key) == {
        "build/0": TaskState.SUBMITTED,
        "left/0": TaskState.FAILED,
        "right/0": TaskState.SUBMITTED,
        "report/0": TaskState.CANCELED,
        "alone/0": TaskState.SUBMITTED,
    }
    left = next(r for r in desk.ledger.tasks_of(key) if r.key.task == "left")
    assert left.reason == "unknown property"
    desk.server.run_all()
    desk.reads_the_journal()
    assert desk.job(key) is JobState.FAILED


def test_a_job_whose_first_task_is_refused_is_refused(desk: Desk) -> None:
    """Nothing of it ever ran, and it can never run here: refused, with the reason."""
    desk.server.refuse = lambda _: "unsupported resource"
    (key,) = desk.receive(jobspec_json(DIAMOND))
    desk.run()
    found = desk.ledger.job(key)
    assert found is not None
    assert (found.state, found.reason) == (JobState.REFUSED, "unsupported resource")


def test_one_refused_replica_does_not_stop_the_others(desk: Desk) -> None:
    """Two of three run; the task after them cannot."""
    desk.server.refuse = lambda s: "no" if s.key.replica == 1 else None
    (key,) = desk.receive(jobspec_json({"many": [], "last": ["many"]}, replicas={"many": 3}))
    desk.run()
    assert Counter(desk.states(key).values()) == {
        TaskState.SUBMITTED: 2,
        TaskState.FAILED: 1,
        TaskState.CANCELED: 1,
    }


def test_a_turn_ends_although_a_chain_has_not(desk: Desk) -> None:
    """New jobs go along with the rest of a chain in the next turn; nothing is sent twice."""
    chain = {f"t{n}": [f"t{n - 1}"] if n else [] for n in range(20)}
    (long,) = desk.receive(jobspec_json(chain))
    desk.dispatcher.run(desk.stop, 0.0)
    assert desk.dispatcher.unfinished()
    sent = len(desk.server.jobs)
    assert 0 < sent < 20
    (short,) = desk.receive(jobspec_json({"only": []}))
    assert desk.dispatcher.behind()
    desk.dispatcher.run(desk.stop, 0.0)
    assert desk.job(short) is JobState.SUBMITTED
    assert desk.job(long) is JobState.RECEIVED
    desk.run()
    assert desk.job(long) is JobState.SUBMITTED
    assert not desk.dispatcher.unfinished()
    assert [afterok(desk, long, f"t{n}") for n in range(1, 20)] == [
        {desk.ids(long)[f"t{n - 1}"]} for n in range(1, 20)
    ]
    assert set(desk.server.became_job.values()) == {1}
    assert len(desk.server.became_job) == 21


def test_many_jobs_are_all_submitted(desk: Desk) -> None:
    """More than a chunk, more than what is written at once, with answers in random order."""
    desk.server.rng = random.Random(3)
    keys = desk.receive(*[jobspec_json(DIAMOND)] * (CHUNK * 2 + 5))
    desk.run()
    assert {desk.job(key) for key in keys} == {JobState.SUBMITTED}
    assert set(desk.server.became_job.values()) == {1}
    assert desk.connection.in_flight() == 0


def test_jobs_that_end_while_others_are_submitted_do_not_confuse(desk: Desk) -> None:
    """Every task runs the moment it arrives, before its answer is collected."""
    desk.server.auto = True
    (key,) = desk.receive(jobspec_json(DIAMOND))
    desk.run()
    desk.reads_the_journal()
    assert desk.job(key) is JobState.COMPLETED


def test_a_task_that_failed_before_the_next_was_sent_cancels_or_fails_the_rest(
    desk: Desk,
) -> None:
    """The workload manager refuses a dependency that failed; the job still ends as failed."""
    desk.server.auto = True
    desk.server.statuses["build"] = 1 << 8
    (key,) = desk.receive(jobspec_json(DIAMOND))
    desk.run()
    desk.reads_the_journal()
    assert desk.job(key) is JobState.FAILED
    assert desk.server.became_job == {TaskKey(key, "build", 0): 1}


def test_nothing_to_do_is_done_at_once(desk: Desk) -> None:
    """No work, no change."""
    assert not desk.dispatcher.behind()
    desk.run()
    assert desk.changes == []


def test_jobs_of_one_text_share_a_plan(desk: Desk) -> None:
    """An ensemble is many jobs of one jobspec: it is read once."""
    one, two, other = desk.receive(*[jobspec_json(DIAMOND)] * 2, jobspec_json({"one": []}))
    plans = desk.dispatcher.plan_new([one, two, other])
    assert plans[one] is plans[two]
    assert plans[other] != plans[one]


def test_the_rows_of_a_new_plan_are_those_that_the_ledger_wrote(desk: Desk) -> None:
    """So that a job just planned is not read back before it is submitted."""
    (key,) = desk.receive(jobspec_json(DIAMOND, replicas={"left": 3}))
    (plan,) = desk.dispatcher.plan_new([key]).values()
    assert rows_of(plan, key) == desk.ledger.tasks_of(key)
