"""Planning and submitting: in order, once, with a reason for whatever does not go."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.model import JobKey, Plan, PlannedTask, TaskKey
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.core.workload_values import Submission
from rainbow_agent.jobs.order import rows_of
from rainbow_agent.jobs.planner import FIRST_PORTION
from rainbow_agent.jobs.submitter import complete
from rainbow_agent.jobspec.handle import attach
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.simple import simple_jobspec
from rainbow_agent.jobspec.wire import to_wire
from support.common import jobspec_json
from support.dispatch import DIAMOND, Harness
from support.ledger import checked_ledger
from support.senders import make_handle


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Harness(ledger)


def afterok(harness: Harness, key: JobKey, task: str) -> set[int]:
    flux_id = harness.ids(key)[task]
    assert flux_id is not None
    return set(harness.server.jobs[flux_id].submission.afterok)


def test_a_job_is_submitted_in_dependency_order(harness: Harness) -> None:
    """Each task waits for the ids of what it depends on; the ledger has every id."""
    (key,) = harness.receive(jobspec_json(DIAMOND))
    harness.run()
    ids = harness.ids(key)
    assert harness.job(key) is JobState.SUBMITTED
    assert afterok(harness, key, "left") == afterok(harness, key, "right") == {ids["build"]}
    assert afterok(harness, key, "report") == {ids["left"], ids["right"]}
    assert not harness.dispatcher.behind()
    assert [(c.was, c.now) for c in harness.changes] == [(JobState.RECEIVED, JobState.SUBMITTED)]


def test_every_replica_is_waited_for(harness: Harness) -> None:
    """What depends on a task with three replicas waits for all three."""
    (key,) = harness.receive(jobspec_json({"many": [], "last": ["many"]}, replicas={"many": 3}))
    harness.run()
    many = {row.flux_id for row in harness.ledger.tasks_of(key) if row.key.task == "many"}
    assert len(many) == 3
    assert afterok(harness, key, "last") == many


def test_a_submission_carries_environment_and_key(harness: Harness) -> None:
    """The task is found again by its key, and runs in the host's environment."""
    (key,) = harness.receive(jobspec_json({"build": []}))
    harness.run()
    (job,) = harness.server.jobs.values()
    attributes = job.submission.jobspec["attributes"]
    assert TaskKey.from_attribute(attributes["user"]["rainbow"]) == TaskKey(key, "build", 0)
    assert attributes["system"]["environment"] == {"PATH": "/bin"}
    assert attributes["system"]["job"] == {"name": "build"}


def test_copies_with_handles_of_their_own_are_planned_once(harness: Harness) -> None:
    """As copies without one are: in an ensemble, planning is most of the work."""
    planned: list[str] = []

    def plan(text: str) -> Plan:
        planned.append(text)
        return plan_text(text)

    harness.plan_text = plan
    harness.connect()
    document = simple_jobspec(["true"])
    harness.receive(*(to_wire(attach(document, make_handle(n))) for n in range(3)))
    harness.run()
    assert len(harness.server.jobs) == 3
    assert len(planned) == 1


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


def test_the_intent_is_on_disk_before_the_workload_manager_hears_of_it(harness: Harness) -> None:
    """At the moment of each submission the ledger says `submitting`."""
    seen = []

    def witness(submission: Submission) -> None:
        rows = harness.ledger.tasks_of(submission.key.job)
        seen.append(next(row.state for row in rows if row.key == submission.key))

    harness.server.refuse = witness
    harness.receive(jobspec_json(DIAMOND), jobspec_json({"one": []}))
    harness.run()
    assert seen == [TaskState.SUBMITTING] * 5


def test_a_job_that_cannot_be_planned_is_refused_and_others_go_on(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """Refused with the reason, said once in the log; its neighbours are submitted."""
    good = jobspec_json({"one": []})
    with caplog.at_level(logging.WARNING):
        first, bad, last = harness.receive(good, "tasks: [", good)
        harness.run()
    found = harness.ledger.job(bad)
    assert found is not None
    assert (found.state, found.reason) == (JobState.REFUSED, "this is no jobspec: 'tasks: ['")
    assert harness.job(first) is harness.job(last) is JobState.SUBMITTED
    assert sum("tasks: [" in message for message in caplog.messages) == 1
    assert not harness.dispatcher.behind()


def test_a_refused_submission_takes_what_depends_on_it_along(harness: Harness) -> None:
    """The workload manager's words are the reason; what does not depend on it runs."""
    harness.server.refuse = lambda s: "unknown property" if s.key.task == "left" else None
    (key,) = harness.receive(jobspec_json({**DIAMOND, "alone": []}))
    harness.run()
    assert harness.states(key) == {
        "build/0": TaskState.SUBMITTED,
        "left/0": TaskState.FAILED,
        "right/0": TaskState.SUBMITTED,
        "report/0": TaskState.CANCELED,
        "alone/0": TaskState.SUBMITTED,
    }
    left = next(r for r in harness.ledger.tasks_of(key) if r.key.task == "left")
    assert left.reason == "unknown property"
    harness.server.run_all()
    harness.reads_the_journal()
    assert harness.job(key) is JobState.FAILED


def test_a_job_whose_first_task_is_refused_is_refused(harness: Harness) -> None:
    """Nothing of it ever ran, and it can never run here: refused, with the reason."""
    harness.server.refuse = lambda _: "unsupported resource"
    (key,) = harness.receive(jobspec_json(DIAMOND))
    harness.run()
    found = harness.ledger.job(key)
    assert found is not None
    assert (found.state, found.reason) == (JobState.REFUSED, "unsupported resource")


def test_one_refused_replica_does_not_stop_the_others(harness: Harness) -> None:
    """Two of three run; the task after them cannot."""
    harness.server.refuse = lambda s: "no" if s.key.replica == 1 else None
    (key,) = harness.receive(jobspec_json({"many": [], "last": ["many"]}, replicas={"many": 3}))
    harness.run()
    assert Counter(harness.states(key).values()) == {
        TaskState.SUBMITTED: 2,
        TaskState.FAILED: 1,
        TaskState.CANCELED: 1,
    }


def test_a_turn_ends_although_a_chain_has_not(harness: Harness) -> None:
    """New jobs go along with the rest of a chain in the next turn; nothing is sent twice."""
    chain = {f"t{n}": [f"t{n - 1}"] if n else [] for n in range(20)}
    (long,) = harness.receive(jobspec_json(chain))
    harness.dispatcher.run(harness.stop, 0.0)
    assert harness.dispatcher.unfinished()
    sent = len(harness.server.jobs)
    assert 0 < sent < 20
    (short,) = harness.receive(jobspec_json({"only": []}))
    assert harness.dispatcher.behind()
    harness.dispatcher.run(harness.stop, 0.0)
    assert harness.job(short) is JobState.SUBMITTED
    assert harness.job(long) is JobState.RECEIVED
    harness.run()
    assert harness.job(long) is JobState.SUBMITTED
    assert not harness.dispatcher.unfinished()
    assert [afterok(harness, long, f"t{n}") for n in range(1, 20)] == [
        {harness.ids(long)[f"t{n - 1}"]} for n in range(1, 20)
    ]
    assert set(harness.server.became_job.values()) == {1}
    assert len(harness.server.became_job) == 21


def test_many_jobs_are_all_submitted(harness: Harness) -> None:
    """More than a chunk, more than what is written at once, with answers in random order."""
    harness.server.rng = random.Random(3)
    keys = harness.receive(*[jobspec_json(DIAMOND)] * (FIRST_PORTION * 2 + 5))
    harness.run()
    assert {harness.job(key) for key in keys} == {JobState.SUBMITTED}
    assert set(harness.server.became_job.values()) == {1}
    assert harness.connection.in_flight() == 0


def test_jobs_that_end_while_others_are_submitted_do_not_confuse(harness: Harness) -> None:
    """Every task runs the moment it arrives, before its answer is collected."""
    harness.server.auto = True
    (key,) = harness.receive(jobspec_json(DIAMOND))
    harness.run()
    harness.reads_the_journal()
    assert harness.job(key) is JobState.COMPLETED


def test_a_task_that_failed_before_the_next_was_sent_cancels_or_fails_the_rest(
    harness: Harness,
) -> None:
    """The workload manager refuses a dependency that failed; the job still ends as failed.

    What became of the dependency is looked up first: it may have been denied (test_denials.py).
    """
    harness.server.auto = True
    harness.server.statuses["build"] = 1 << 8
    (key,) = harness.receive(jobspec_json(DIAMOND))
    harness.run()
    assert harness.dispatcher.wants_history
    harness.reads_the_journal()
    harness.run()
    assert harness.job(key) is JobState.FAILED
    assert harness.server.became_job == {TaskKey(key, "build", 0): 1}


def test_nothing_to_do_is_done_at_once(harness: Harness) -> None:
    """No work, no change."""
    assert not harness.dispatcher.behind()
    harness.run()
    assert harness.changes == []


def test_jobs_of_one_text_share_a_plan(harness: Harness) -> None:
    """An ensemble is many jobs of one jobspec: it is read once."""
    one, two, other = harness.receive(*[jobspec_json(DIAMOND)] * 2, jobspec_json({"one": []}))
    plans = harness.dispatcher.planner.plan_new([one, two, other])
    assert plans[one] is plans[two]
    assert plans[other] != plans[one]


def test_the_rows_of_a_new_plan_are_those_that_the_ledger_wrote(harness: Harness) -> None:
    """So that a job just planned is not read back before it is submitted."""
    (key,) = harness.receive(jobspec_json(DIAMOND, replicas={"left": 3}))
    (plan,) = harness.dispatcher.planner.plan_new([key]).values()
    assert rows_of(plan, key) == harness.ledger.tasks_of(key)
