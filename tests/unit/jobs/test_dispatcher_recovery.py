"""Stops, breaks and deaths in the middle of submitting: in the end each task ran once."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import (
    FoundJob,
    JobKey,
    Offer,
    Plan,
    PlannedTask,
    TaskChange,
    TaskKey,
    TaskKind,
)
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.core.workload_values import Submission
from rainbow_agent.jobs.planner import FIRST_PORTION
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_rows_seen import row_digest
from support.common import jobspec_json, plan_json
from support.dispatch import DIAMOND, Harness
from support.ledger import checked_ledger
from support.workload import FakeWorkload
from support.workload_connection import Break


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Harness(ledger)


@contextmanager
def fresh_ledger() -> Iterator[SqliteLedger]:
    """One for each example of a search."""
    with tempfile.TemporaryDirectory() as folder, checked_ledger(Path(folder) / "l") as ledger:
        yield ledger


def test_a_stop_in_the_middle_finishes_what_was_begun(harness: Harness) -> None:
    """Jobs marked as about to be submitted are; those after them wait for the next start."""
    harness.server.refuse = lambda _: harness.stop.set("enough")
    keys = harness.receive(*[jobspec_json({"one": []})] * (FIRST_PORTION + 6))
    harness.run()
    states = Counter(harness.job(key) for key in keys)
    assert states == {JobState.SUBMITTED: FIRST_PORTION, JobState.RECEIVED: 6}
    assert harness.ledger.tasks_in({TaskState.SUBMITTING}) == []
    harness.stop = Stop()
    harness.run()
    assert {harness.job(key) for key in keys} == {JobState.SUBMITTED}
    assert set(harness.server.became_job.values()) == {1}


def test_a_stop_whose_grace_is_over_leaves_the_rest_to_the_next_start(harness: Harness) -> None:
    """Half submitted is safe: what went in is found again, what did not is submitted then."""
    harness.grace = 0.0
    harness.connect()
    harness.server.refuse = lambda _: harness.stop.set("enough")
    (key,) = harness.receive(jobspec_json(DIAMOND))
    harness.run()
    assert sum(harness.server.became_job.values()) < len(DIAMOND)
    assert harness.ledger.tasks_in({TaskState.SUBMITTING})
    assert harness.comes_back() > 0
    harness.server.refuse = lambda _: None
    harness.stop = Stop()
    harness.run()
    assert harness.job(key) is JobState.SUBMITTED
    assert set(harness.server.became_job.values()) == {1}
    assert len(harness.server.became_job) == len(DIAMOND)


@pytest.mark.parametrize("how", list(Break))
@pytest.mark.parametrize("n", range(1, 6))
def test_a_connection_that_breaks_at_the_nth_submission(
    harness: Harness, n: int, how: Break
) -> None:
    """Before the job got in, after, or while it was on its way: each task becomes one job."""
    keys = harness.receive(jobspec_json(DIAMOND), jobspec_json({"one": []}))
    harness.server.break_at_submit(n, how)
    with pytest.raises(WorkloadUnavailable):
        harness.run()
    harness.comes_back()
    harness.run()
    assert [harness.job(key) for key in keys] == [JobState.SUBMITTED] * 2
    assert set(harness.server.became_job.values()) == {1}
    assert len(harness.server.became_job) == 5


def test_what_depends_on_a_failure_of_meanwhile_is_canceled(harness: Harness) -> None:
    """The first task failed while the rest could not be submitted: it is not even tried."""
    (key,) = harness.receive(jobspec_json({**DIAMOND, "alone": []}))
    harness.server.auto = True
    harness.server.statuses["build"] = 1 << 8
    harness.server.break_at_submit(1, Break.AFTER)
    with pytest.raises(WorkloadUnavailable):
        harness.run()
    harness.comes_back()
    harness.run()
    harness.reads_the_journal()
    assert harness.states(key) == {
        "build/0": TaskState.FAILED,
        "left/0": TaskState.CANCELED,
        "right/0": TaskState.CANCELED,
        "report/0": TaskState.CANCELED,
        "alone/0": TaskState.COMPLETED,
    }
    assert harness.job(key) is JobState.FAILED


def test_recovery_is_told_once(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    """How many tasks go back is in the log; nothing is said when none does."""
    harness.receive(jobspec_json(DIAMOND))
    harness.server.break_at_submit(1, Break.BEFORE)
    with pytest.raises(WorkloadUnavailable):
        harness.run()
    assert harness.comes_back() == 4
    assert harness.dispatcher.recover() == 0
    assert sum("submitted again" in message for message in caplog.messages) == 1


def test_another_version_that_plans_other_tasks_does_not_mix_them(harness: Harness) -> None:
    """After an upgrade a half submitted job keeps what it has; the rest fails with the reason."""
    (key,) = harness.receive(jobspec_json(DIAMOND))
    harness.server.break_at_submit(2, Break.BEFORE)
    with pytest.raises(WorkloadUnavailable):
        harness.run()
    harness.comes_back()
    harness.dispatcher.planner._plan_text = lambda _: plan_json(jobspec_json({"other": []}))
    harness.run()
    assert harness.states(key)["build/0"] is TaskState.SUBMITTED
    rest = [row for row in harness.ledger.tasks_of(key) if row.key.task != "build"]
    assert {row.state for row in rest} == {TaskState.FAILED}
    assert all("version of the agent" in (row.reason or "") for row in rest)
    assert not harness.dispatcher.behind()


def found_and_gone(harness: Harness, row: str = "") -> JobKey:
    """A job found in the workload manager after the ledger was lost; then that was replaced."""
    key = JobKey("r1", 77)
    found = FoundJob(key, "blue", "found", 1.0, (PlannedTask("one", 1, (), {}),), row=row)
    harness.ledger.adopt([found], "127.0.0.1:1", 1.0)
    task = TaskKey(key, "one", 0)
    harness.ledger.apply([TaskChange(task, TaskState.PENDING, 2.0, "it was not there any more")])
    return key


@pytest.mark.parametrize("how", ["rainbow has no more rows", "rainbow has not this row"])
def test_a_job_without_its_jobspec_is_not_submitted_again(harness: Harness, how: str) -> None:
    """Its row will not come again: rainbow was seen without it, now or by an agent before."""
    key = found_and_gone(harness)
    if how == "rainbow has not this row":
        harness.ledger.mark_accepted("r1", [key.id], 3.0, "rainbow has no such row")
    else:
        harness.dispatcher.nothing_offered()
    (other,) = harness.receive(jobspec_json({"one": []}))
    harness.run()
    (row,) = harness.ledger.tasks_of(key)
    assert row.state is TaskState.FAILED
    assert row.reason == "its jobspec is lost: it is neither in the ledger nor in rainbow any more"
    assert harness.job(other) is JobState.SUBMITTED


def test_a_job_whose_row_may_still_come_waits_for_it(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """It keeps nothing else back, also not the question for its row; that is said once."""
    text = jobspec_json({"one": []})
    offer = Offer(77, "found", "blue", text)
    key = found_and_gone(harness, row_digest(offer).hex())
    (other,) = harness.receive(text)
    harness.run()
    harness.run()
    assert harness.states(key) == {"one/0": TaskState.PENDING}
    assert harness.job(other) is JobState.SUBMITTED
    assert not harness.dispatcher.behind()
    assert sum("offered its row again" in message for message in caplog.messages) == 1
    assert harness.ledger.record_offers("r1", [offer], 3.0) == []
    assert harness.dispatcher.behind()
    harness.dispatcher.nothing_offered()
    harness.run()
    assert harness.job(key) is JobState.SUBMITTED
    assert harness.server.became_job == {TaskKey(each, "one", 0): 1 for each in (key, other)}


def test_a_group_that_was_found_is_submitted_again_once_its_row_has_come(harness: Harness) -> None:
    """The ledger was put back, rainbow offers the job still, and the instance is replaced then.

    What is inside a group that had ended stays unknown; the other one is planned anew.
    """
    text, group = jobspec_json({"over": [], "g": []}), TaskKind.GROUP
    offer = Offer(77, "found", "blue", text)
    key, now = JobKey("r1", 77), harness.clock.now()
    found = [PlannedTask(name, 1, (), {}, kind=group) for name in ("over", "g")]
    row = row_digest(offer).hex()
    harness.ledger.adopt(
        [FoundJob(key, "blue", "found", 1.0, tuple(found), row=row)], "127.0.0.1:1", now
    )
    assert harness.ledger.record_offers("r1", [offer], now) == []
    states = {"over": TaskState.COMPLETED, "g": TaskState.PENDING}
    harness.ledger.apply(
        [TaskChange(TaskKey(key, name, 0), state, now, "") for name, state in states.items()]
    )
    plain = plan_json(text).tasks
    inside = {name: plan_json(jobspec_json({f"{name}/a": []})).tasks for name in states}
    tasks = tuple(replace(task, kind=group, tasks=inside[task.name]) for task in plain)
    harness.dispatcher.planner._plan_text = lambda _: Plan("", tasks)
    harness.run()
    assert harness.states(key) == {
        "over/0": TaskState.COMPLETED,
        "g/0": TaskState.SUBMITTED,
        "g/a/0": TaskState.PENDING,
    }
    assert [r.key.task for r in harness.ledger.tasks_of(key)] == ["over", "g", "g/a"]
    assert [each.task for each in harness.server.became_job] == ["g"]


def test_another_version_that_cannot_plan_it_says_so(harness: Harness) -> None:
    """A jobspec that a newer agent refuses does not keep the queue from moving."""
    (key,) = harness.receive(jobspec_json(DIAMOND))
    harness.server.break_at_submit(1, Break.BEFORE)
    with pytest.raises(WorkloadUnavailable):
        harness.run()
    harness.comes_back()
    harness.dispatcher.planner._plan_text = lambda _: plan_json("nonsense")
    harness.run()
    assert set(harness.states(key).values()) == {TaskState.FAILED}
    assert not harness.dispatcher.behind()


class Killed(BaseException):
    """SIGKILL, as far as one process can play it."""


class MortalLedger:
    """Dies at the n-th write, before it or right after it."""

    WRITES = frozenset({"apply", "record_plans"})

    def __init__(self, ledger: SqliteLedger, n: int, *, after: bool) -> None:
        self._ledger, self._left, self._after = ledger, n, after

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)
        return (lambda *args: self._write(method, args)) if name in self.WRITES else method

    def _write(self, method: Any, args: tuple[Any, ...]) -> Any:
        self._left -= 1
        if self._left == 0 and not self._after:
            raise Killed
        result = method(*args)
        if self._left == 0:
            raise Killed
        return result


@st.composite
def jobs(draw: st.DrawFn) -> str:
    """A small random DAG; tasks that begin with `bad` are refused at submission."""
    tasks: dict[str, list[str]] = {}
    replicas: dict[str, int] = {}
    for n in range(draw(st.integers(1, 4))):
        name = f"{draw(st.sampled_from(['good', 'good', 'good', 'bad']))}{n}"
        tasks[name] = sorted(draw(st.sets(st.sampled_from(sorted(tasks))))) if tasks else []
        replicas[name] = draw(st.integers(1, 2))
    return jobspec_json(tasks, replicas=replicas)


def expected(texts: Sequence[str], keys: Sequence[JobKey]) -> set[TaskKey]:
    """The tasks that become jobs: all but the bad and what depends on them."""
    found = set()
    for text, key in zip(texts, keys, strict=True):
        doomed: set[str] = set()
        for task in plan_json(text).tasks:
            if task.name.startswith("bad") or doomed & set(task.depends_on):
                doomed.add(task.name)
            else:
                found |= {TaskKey(key, task.name, n) for n in range(task.replicas)}
    return found


def refuse_bad(submission: Submission) -> str | None:
    return "it is bad" if submission.key.task.startswith("bad") else None


SEARCH = hypothesis_settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
BREAKS = st.lists(st.tuples(st.integers(1, 6), st.sampled_from(list(Break))), max_size=3)
TURNS = st.sampled_from([0.0, float("inf")])
DEATHS = st.lists(st.tuples(st.integers(1, 5), st.booleans()), max_size=3)


@SEARCH
@given(
    st.lists(jobs(), min_size=1, max_size=3), BREAKS, DEATHS, st.integers(), st.booleans(), TURNS
)
def test_whatever_breaks_each_task_becomes_one_job(
    texts: list[str],
    breaks: list[tuple[int, Break]],
    deaths: list[tuple[int, bool]],
    seed: int,
    auto: bool,
    turn: float,
) -> None:
    """Connections break and processes die at any point; in the end all is there, each once."""
    with fresh_ledger() as ledger:
        server = FakeWorkload(auto=auto, rng=random.Random(seed))
        server.refuse = refuse_bad
        harness = Harness(ledger, server)
        harness.turn = turn
        keys = harness.receive(*texts)
        for n, after in deaths:
            mortal = MortalLedger(ledger, n, after=after)
            harness.dispatcher._ledger = harness.dispatcher.planner._ledger = mortal
            with suppress(Killed):
                harness.run()
            harness.comes_back()
        for n, how in breaks:
            server.break_at_submit(n, how)
            with suppress(WorkloadUnavailable):
                harness.run()
            harness.comes_back()
        server._breaks.clear()
        harness.run()
        server.run_all()
        harness.reads_the_journal()
        assert server.became_job == Counter(expected(texts, keys))
        assert ledger.open_jobs() == 0
        assert ledger.unaccepted("r1") == sorted(key.id for key in keys)
