"""Stops, breaks and deaths in the middle of submitting: in the end each task ran once."""

from __future__ import annotations

import random
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import FoundJob, JobKey, PlannedTask, Submission, TaskChange, TaskKey
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.jobs.dispatcher import CHUNK
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import jobspec_json, plan_json
from support.dispatch import DIAMOND, Desk
from support.ledger import checked_ledger
from support.workload import Break, FakeWorkload


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield Desk(ledger)


@contextmanager
def fresh_ledger() -> Iterator[SqliteLedger]:
    """One for each example of a search."""
    with tempfile.TemporaryDirectory() as folder, checked_ledger(Path(folder) / "l") as ledger:
        yield ledger


def test_a_stop_in_the_middle_finishes_what_was_begun(desk: Desk) -> None:
    """Jobs marked as about to be submitted are; those after them wait for the next start."""
    desk.server.refuse = lambda _: desk.stop.set("enough")
    keys = desk.receive(*[jobspec_json({"one": []})] * (CHUNK + 6))
    desk.run()
    states = Counter(desk.job(key) for key in keys)
    assert states == {JobState.SUBMITTED: CHUNK, JobState.RECEIVED: 6}
    assert desk.ledger.tasks_in({TaskState.SUBMITTING}) == []
    desk.stop = Stop()
    desk.run()
    assert {desk.job(key) for key in keys} == {JobState.SUBMITTED}
    assert set(desk.server.became_job.values()) == {1}


def test_a_stop_whose_grace_is_over_leaves_the_rest_to_the_next_start(desk: Desk) -> None:
    """Half submitted is safe: what went in is found again, what did not is submitted then."""
    desk.grace = 0.0
    desk.connect()
    desk.server.refuse = lambda _: desk.stop.set("enough")
    (key,) = desk.receive(jobspec_json(DIAMOND))
    desk.run()
    assert sum(desk.server.became_job.values()) < len(DIAMOND)
    assert desk.ledger.tasks_in({TaskState.SUBMITTING})
    assert desk.comes_back() > 0
    desk.server.refuse = lambda _: None
    desk.stop = Stop()
    desk.run()
    assert desk.job(key) is JobState.SUBMITTED
    assert set(desk.server.became_job.values()) == {1}
    assert len(desk.server.became_job) == len(DIAMOND)


@pytest.mark.parametrize("how", list(Break))
@pytest.mark.parametrize("n", range(1, 6))
def test_a_connection_that_breaks_at_the_nth_submission(desk: Desk, n: int, how: Break) -> None:
    """Before the job got in, after, or while it was on its way: each task becomes one job."""
    keys = desk.receive(jobspec_json(DIAMOND), jobspec_json({"one": []}))
    desk.server.break_at_submit(n, how)
    with pytest.raises(WorkloadUnavailable):
        desk.run()
    desk.comes_back()
    desk.run()
    assert [desk.job(key) for key in keys] == [JobState.SUBMITTED] * 2
    assert set(desk.server.became_job.values()) == {1}
    assert len(desk.server.became_job) == 5


def test_what_depends_on_a_failure_of_meanwhile_is_canceled(desk: Desk) -> None:
    """The first task failed while nobody could submit the rest: it is not even tried."""
    (key,) = desk.receive(jobspec_json({**DIAMOND, "alone": []}))
    desk.server.auto = True
    desk.server.statuses["build"] = 1 << 8
    desk.server.break_at_submit(1, Break.AFTER)
    with pytest.raises(WorkloadUnavailable):
        desk.run()
    desk.comes_back()
    desk.run()
    desk.reads_the_journal()
    assert desk.states(key) == {
        "build/0": TaskState.FAILED,
        "left/0": TaskState.CANCELED,
        "right/0": TaskState.CANCELED,
        "report/0": TaskState.CANCELED,
        "alone/0": TaskState.COMPLETED,
    }
    assert desk.job(key) is JobState.FAILED


def test_recovery_is_told_once(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    """How many tasks go back is in the log; nothing is said when none does."""
    desk.receive(jobspec_json(DIAMOND))
    desk.server.break_at_submit(1, Break.BEFORE)
    with pytest.raises(WorkloadUnavailable):
        desk.run()
    assert desk.comes_back() == 4
    assert desk.dispatcher.recover() == 0
    assert sum("submitted again" in message for message in caplog.messages) == 1


def test_another_version_that_plans_other_tasks_does_not_mix_them(desk: Desk) -> None:
    """After an upgrade a half submitted job keeps what it has; the rest fails with the reason."""
    (key,) = desk.receive(jobspec_json(DIAMOND))
    desk.server.break_at_submit(2, Break.BEFORE)
    with pytest.raises(WorkloadUnavailable):
        desk.run()
    desk.comes_back()
    desk.dispatcher._plan_text = lambda _: plan_json(jobspec_json({"other": []}))
    desk.run()
    assert desk.states(key)["build/0"] is TaskState.SUBMITTED
    rest = [row for row in desk.ledger.tasks_of(key) if row.key.task != "build"]
    assert {row.state for row in rest} == {TaskState.FAILED}
    assert all("version of the agent" in (row.reason or "") for row in rest)
    assert not desk.dispatcher.behind()


def test_a_job_without_its_jobspec_is_not_submitted_again(desk: Desk) -> None:
    """Found in the workload manager after the ledger was lost; then that was replaced, too."""
    key = JobKey("r1", 77)
    found = FoundJob(key, "blue", "found", 1.0, (PlannedTask("one", 1, (), {}),))
    desk.ledger.adopt([found], "127.0.0.1:1", 1.0)
    task = TaskKey(key, "one", 0)
    desk.ledger.apply([TaskChange(task, TaskState.PENDING, 2.0, "it was not there any more")])
    (other,) = desk.receive(jobspec_json({"one": []}))
    desk.run()
    (row,) = desk.ledger.tasks_of(key)
    assert row.state is TaskState.FAILED
    assert row.reason == "its jobspec is lost: the ledger was rebuilt without it"
    assert desk.job(other) is JobState.SUBMITTED


def test_another_version_that_cannot_plan_it_says_so(desk: Desk) -> None:
    """A jobspec that a newer agent refuses does not keep the queue from moving."""
    (key,) = desk.receive(jobspec_json(DIAMOND))
    desk.server.break_at_submit(1, Break.BEFORE)
    with pytest.raises(WorkloadUnavailable):
        desk.run()
    desk.comes_back()
    desk.dispatcher._plan_text = lambda _: plan_json("nonsense")
    desk.run()
    assert set(desk.states(key).values()) == {TaskState.FAILED}
    assert not desk.dispatcher.behind()


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
        desk = Desk(ledger, server)
        desk.turn = turn
        keys = desk.receive(*texts)
        for n, after in deaths:
            desk.dispatcher._ledger = MortalLedger(ledger, n, after=after)
            with suppress(Killed):
                desk.run()
            desk.comes_back()
        for n, how in breaks:
            server.break_at_submit(n, how)
            with suppress(WorkloadUnavailable):
                desk.run()
            desk.comes_back()
        server._breaks.clear()
        desk.run()
        server.run_all()
        desk.reads_the_journal()
        assert server.became_job == Counter(expected(texts, keys))
        assert ledger.open_jobs() == 0
        assert ledger.unaccepted("r1") == sorted(key.id for key in keys)
