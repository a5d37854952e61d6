"""SIGKILL at random moments, to the agent, to rainbow, to the workload manager: nothing is lost.

Small random jobs from a fixed seed; what must become of each is known without any plan.
"""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from rainbow_agent.core.errors import ClusterUnknown, Rejected
from rainbow_agent.core.model import TaskKey
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState, TaskState
from rainbow_agent.workload.local.server.job_table import RESTARTED
from support.common import eventually
from support.crashes import Stage, set_up
from support.evidence import history, records
from support.groups import Node, expect_as_said
from support.program import Running
from support.servers import SchedulerKind
from support.site import missing_parts
from support.storm import INSTANCE, Fates, document, expect_on_record, names_of, random_job, read
from support.tiers import sample

SEED = 20240517
JOBS = 300
A_FEW_JOBS = 48
SEED_OF_A_FEW = SEED + 3  # rainbow is killed early
A_ROUND = 12  # jobs that are sent before each start of the agent
#: Of the tests that kill the workload manager, over embedded parts.
LOCAL_JOBS = 60
A_LOSS = 12

Pair = tuple[SchedulerKind, bool]
PAIRS = [
    pytest.param((SchedulerKind.EMBEDDED, False), id="embedded-local"),
    pytest.param(
        (SchedulerKind.REAL, True), id="rainbow-flux", marks=[pytest.mark.rainbow, pytest.mark.flux]
    ),
]
IN_TURN = pytest.mark.timeout(3600)


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> Pair:
    """Each pair of parts that is there."""
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    return kind, flux


@pytest.fixture
def stage(pair: Pair, tmp_path: Path) -> Iterator[Stage]:
    """A registered cluster whose agent does not run."""
    with set_up(tmp_path, pair[0], flux=pair[1]) as stage:
        yield stage


def pause(rng: random.Random, least: float, most: float) -> None:
    """The moment is what is random here."""
    Event().wait(rng.uniform(least, most))


def send(stage: Stage, jobs: dict[str, list[Node]], more: list[list[Node]]) -> None:
    """Send jobs under names of their own, as soon as rainbow has the cluster's graph again."""
    named = {f"j{len(jobs) + number}": nodes for number, nodes in enumerate(more)}
    jobs |= named
    first, *rest = (document(name, nodes, stage.site.marks) for name, nodes in named.items())
    eventually(lambda: is_taken(stage, first), "rainbow has the graph", seconds=60)
    stage.site.fleet.send(*rest)


def is_taken(stage: Stage, job: dict[str, Any]) -> bool:
    """Whether rainbow takes a job; without the cluster's graph it refuses it."""
    try:
        stage.site.fleet.send(job)
    except (ClusterUnknown, Rejected):
        return False
    return True


def kill(agent: Running) -> None:
    agent.kill()
    assert agent.wait() == -signal.SIGKILL, agent.log()


def is_under_way(stage: Stage) -> bool:
    return any(row.state not in FINAL_JOB_STATES for row in stage.site.program.rows())


def expect_all_told(stage: Stage, jobs: int) -> None:
    """Every job is there once and over; rainbow let each go once, and knows how many ended how."""
    rows = stage.site.program.rows()
    assert len({row.name for row in rows}) == len(rows) == jobs
    assert {row.state for row in rows} <= FINAL_JOB_STATES
    assert all(row.accepted for row in rows)
    assert stage.site.fleet.waiting() == []
    assert stage.books.let_go() == Counter(row.key.id for row in rows)
    ends = Counter(row.state for row in rows)
    words = [f"jobs_{state.value} == {ends[state]}" for state in JobState]
    assert stage.site.fleet.state_holds(" && ".join(words)), words
    for row in rows:
        assert stage.reported(row.name)[-1] == row.state.value


@IN_TURN
@pytest.mark.parametrize("count", sample([A_FEW_JOBS, JOBS], quick=[A_FEW_JOBS]))
def test_agent_and_rainbow_killed_at_random(stage: Stage, count: int) -> None:
    """Each task runs exactly once, after what it needs; each job is accepted once and reported."""
    rng = random.Random(SEED if count == JOBS else SEED_OF_A_FEW)
    jobs: dict[str, list[Node]] = {}
    under_way = restarts = 0
    while len(jobs) < count:
        with stage.site.program.background("start") as agent:
            send(stage, jobs, [random_job(rng) for _ in range(min(A_ROUND, count - len(jobs)))])
            if rng.random() < 0.3:
                pause(rng, 0.1, 1.0)
                stage.site.scheduler.kill()
                pause(rng, 0.0, 0.3)
                stage.site.scheduler.start()
                restarts += 1
                pause(rng, 0.1, 1.0)
            else:
                pause(rng, 0.2, 2.0)
            kill(agent)
        under_way += is_under_way(stage)
    stage.site.program.until_idle()
    rows, lines = stage.site.program.rows(), read(stage.site.written())
    for row in rows:
        expect_as_said(jobs[row.name], row.tasks, names_of(lines, row.name, begins=True))
        expect_as_said(jobs[row.name], row.tasks, names_of(lines, row.name, begins=False))
    with closing(stage.site.workload()) as workload:
        expect_on_record(records(history(workload)), rows, lines)
    expect_all_told(stage, count)
    assert restarts > 0
    assert under_way > 0, "no kill met a job that was under way"


def stays(stage: Stage, jobs: Mapping[str, list[Node]], more: list[list[Node]]) -> bool:
    """Whether the task that lasts, of the jobs that were sent last, runs by the ledger."""
    name = f"j{len(jobs) - len(more)}"
    rows = [row for row in stage.site.program.rows() if row.name == name]
    return any(task.state is TaskState.RUNNING for row in rows for task in row.tasks)


def with_one_that_stays(rng: random.Random, count: int) -> list[list[Node]]:
    """Jobs without replicas, the first of which lasts long enough to be met."""
    jobs = [random_job(rng, replicas=False) for _ in range(count)]
    jobs[0][0] = {"name": "n0", "kind": "job", "needs": [], "replicas": 1, "seconds": 2}
    return jobs


@pytest.mark.full
@IN_TURN
def test_local_workload_manager_killed_at_random(tmp_path: Path) -> None:
    """What ran is said to have failed and why; what waited runs; nothing runs a second time."""
    rng = random.Random(SEED + 1)
    jobs: dict[str, list[Node]] = {}
    with set_up(tmp_path, SchedulerKind.EMBEDDED, flux=False) as stage:
        while len(jobs) < LOCAL_JOBS:
            more = with_one_that_stays(rng, A_LOSS)
            send(stage, jobs, more)
            with stage.site.program.background("start") as agent:
                eventually(partial(stays, stage, jobs, more), "a task runs", seconds=60)
                pause(rng, 0.0, 0.5)
                stage.instance.kill()
                pause(rng, 0.0, 0.7)
                kill(agent)
        stage.site.program.until_idle()
        rows, lines = stage.site.program.rows(), read(stage.site.written())
        with closing(stage.site.workload()) as workload:
            expect_on_record(records(history(workload)), rows, lines)
        fates = Fates(jobs, {row.name: row for row in rows}, lines)
        assert fates.expect_ends(RESTARTED) > 0, "no kill met a task that ran"
        expect_all_told(stage, LOCAL_JOBS)


@pytest.mark.full
@IN_TURN
@pytest.mark.parametrize("on_lost", ["fail", "resubmit"])
def test_instances_replaced_at_random(pair: Pair, tmp_path: Path, on_lost: str) -> None:
    """No end that was known is undone, no known start runs again but where that is wanted.

    The instance dies with all that runs in it, before the agent or after it; each job has an end
    after all.
    """
    kind, flux = pair
    count = JOBS if flux else LOCAL_JOBS
    rng = random.Random(SEED + 2)
    jobs: dict[str, list[Node]] = {}
    snapshots: list[dict[TaskKey, TaskState]] = []
    with set_up(tmp_path, kind, flux=flux, brokers=2, on_lost=on_lost) as stage:
        program = stage.site.program
        while len(jobs) < count:
            more = with_one_that_stays(rng, min(2 * A_LOSS, count - len(jobs)))
            send(stage, jobs, more)
            program.environ[INSTANCE] = str(len(snapshots))
            with program.background("start") as agent:
                eventually(partial(stays, stage, jobs, more), "a task runs", seconds=60)
                pause(rng, 0.0, 0.5)
                if flux and rng.random() < 0.5:  # the local one would be started by the agent
                    stage.instance.kill()
                    pause(rng, 0.0, 0.7)
                kill(agent)
            pause(rng, 0.0, 0.3)
            snapshots.append({t.key: t.state for row in program.rows() for t in row.tasks})
            stage.instance.replace(brokers=2)
        program.environ[INSTANCE] = str(len(snapshots))
        program.until_idle()
        rows = program.rows()
        fates = Fates(jobs, {row.name: row for row in rows}, read(stage.site.written()))
        lost = fates.expect_ends("RAINBOW_ON_LOST=fail")
        unheard = fates.expect_kept(snapshots, on_lost)
        print(f"lost: {lost}; ran again, since their start was not reported: {unheard}")
        assert (lost > 0) == (on_lost == "fail"), "no instance died while a task ran"
        expect_all_told(stage, count)
