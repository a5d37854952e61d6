"""SIGKILL to the agent at any moment: nothing is lost, nothing runs twice, rainbow is told."""

from __future__ import annotations

import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from rainbow_agent.crashpoints import CrashPoint
from rainbow_agent.states import JobState, TaskState
from rainbow_agent.testing_fleet import jobspec, task
from rainbow_agent.testing_servers import SchedulerKind
from rainbow_agent.testing_site import Site, missing_parts, running_site

KILLS = 15
JOBS_A_KILL = 4

#: What the ledger has of a job at each point: whether it is there, and its tasks' states.
AT_POINT: dict[CrashPoint, Callable[[Site], bool]] = {
    CrashPoint.RECEIVED: lambda site: not site.untold(),
    CrashPoint.WRITTEN: lambda site: len(site.untold()) == 1 and not site.open_states(),
    CrashPoint.PLANNED: lambda site: set(site.open_states()) == {TaskState.PENDING},
    CrashPoint.MARKED: lambda site: set(site.open_states()) == {TaskState.SUBMITTING},
    CrashPoint.SENT: lambda site: set(site.open_states()) == {TaskState.SUBMITTING},
    # The journal's thread may have been quicker with what was submitted.
    CrashPoint.SUBMITTED: lambda site: TaskState.SUBMITTING in site.open_states(),
    CrashPoint.RECORDED: lambda site: len(site.untold()) == 1 and bool(site.fleet.waiting()),
    CrashPoint.ACCEPTED: lambda site: len(site.untold()) == 1 and not site.fleet.waiting(),
}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((SchedulerKind.EMBEDDED, False), id="embedded-local"),
        pytest.param(
            (SchedulerKind.REAL, True),
            id="rainbow-flux",
            marks=[pytest.mark.rainbow, pytest.mark.flux],
        ),
    ],
)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A registered cluster whose agent does not run."""
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    with running_site(tmp_path_factory.mktemp("site"), kind, flux=flux, max_jobs=3) as site:
        assert site.program.run("register").code == 0
        yield site


def chain(site: Site, name: str, *steps: tuple[str, int]) -> dict[str, Any]:
    """A job of tasks with replicas, each after the one before, written last first."""
    names = [step for step, _ in steps]
    tasks = [
        task(
            site.writes(f"{name} {step}"),
            step,
            replicas=replicas,
            depends_on=names[place - 1 : place],
        )
        for place, (step, replicas) in enumerate(steps)
    ]
    return jobspec(*reversed(tasks), name=name)


def random_steps(rng: random.Random) -> list[tuple[str, int]]:
    """Mostly one task; sometimes a chain, sometimes with replicas."""
    return [(f"t{n}", rng.choice([1, 1, 2])) for n in range(rng.choice([1, 1, 2, 3]))]


def in_order(lines: list[str]) -> bool:
    """Whether the lines of each job are in the order of its steps."""
    seen: dict[str, list[str]] = {}
    for line in lines:
        job, step = line.split()
        seen.setdefault(job, []).append(step)
    return all(steps == sorted(steps) for steps in seen.values())


@pytest.mark.timeout(300)
def test_random_kills(site: Site) -> None:
    """Killed at random moments while jobs come in, each task still runs exactly once, in order."""
    rng = random.Random(20240517)
    begin = len(site.program.rows())
    wanted: Counter[str] = Counter()
    for kill in range(KILLS):
        for number in range(JOBS_A_KILL):
            name, steps = f"kill-{kill}-{number}", random_steps(rng)
            wanted.update({f"{name} {step}": replicas for step, replicas in steps})
            site.fleet.send(chain(site, name, *steps))
        with site.program.background("start") as agent:
            if kill % 3:  # the others die somewhere in their start
                agent.says("Caught up")
            Event().wait(rng.uniform(0.0, 0.2))  # the moment is what is random here
            agent.kill()
            assert agent.wait() == -signal.SIGKILL, agent.log()
    site.program.until_idle()
    lines = [line for line in site.written() if line.startswith("kill-")]
    assert Counter(lines) == wanted
    assert in_order(lines)
    rows = site.program.rows()[begin:]
    assert len(rows) == KILLS * JOBS_A_KILL
    assert {row.state for row in rows} == {JobState.COMPLETED}
    assert all(row.accepted for row in rows)
    assert site.fleet.waiting() == []


@pytest.mark.parametrize("point", AT_POINT)
def test_killed_between_two_steps(site: Site, point: CrashPoint) -> None:
    """Killed between two steps of "write, submit, accept", the next start finishes the job."""
    begin = len(site.program.rows())
    name = f"at-{point.value}"
    site.fleet.send(chain(site, name, ("t0", 1), ("t1", 2)))
    armed = {"test_crash": point.value, "test_crash_allowed": "1"}
    with site.program.background("start", **armed) as agent:
        assert agent.wait() == -signal.SIGKILL, agent.log()
    assert AT_POINT[point](site), (site.untold(), site.open_states())
    site.serve(begin + 1)
    assert site.program.rows()[-1].state is JobState.COMPLETED
    lines = [line for line in site.written() if line.startswith(f"{name} ")]
    assert lines == [f"{name} t0", f"{name} t1", f"{name} t1"]
    assert site.fleet.waiting() == []


def test_killed_before_the_ledger_knows_the_registration(tmp_path: Path) -> None:
    """A secret that is on disk is used, whatever the ledger knows: no second registration."""
    with running_site(tmp_path) as site:
        armed = {"test_crash": CrashPoint.STORED.value, "test_crash_allowed": "1"}
        with site.program.background("start", **armed) as agent:
            assert agent.wait() == -signal.SIGKILL, agent.log()
        secret = site.fleet.credentials.cluster_secret
        assert site.program.show("status")["registration"] is None
        site.fleet.send(jobspec(task(["true"])))
        site.serve(1)
        assert site.fleet.credentials.cluster_secret == secret


def test_killed_before_the_secret_is_on_disk(tmp_path: Path) -> None:
    """The one loss that cannot be healed is told: rainbow gives a secret only once; exit 42."""
    with running_site(tmp_path) as site:
        armed = {"test_crash": CrashPoint.REGISTERED.value, "test_crash_allowed": "1"}
        with site.program.background("start", **armed) as agent:
            assert agent.wait() == -signal.SIGKILL, agent.log()
        with site.program.background("start") as agent:
            assert agent.wait() == 42, agent.log()
        assert "gives its secret only once" in agent.log()
