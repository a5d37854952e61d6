"""What an agent costs that has nothing to do, with 10,000 finished jobs in its ledger."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from bench import machine
from bench.agents import PROGRAM, AgentProcess, pause
from bench.figures import Figure
from bench.site import JOBSPEC, Site
from rainbow_agent.core.model import JobKey, Offer, PlannedJob, TaskChange, TaskKey
from rainbow_agent.core.states import TaskState
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage.ledger import SqliteLedger

JOBS = 10_000
_SETTLE = 12.0  # seconds until what a start does is over
_WATCH = 60.0  # seconds
_CALLS = 10
_MIB = 2**20
_STORY = (TaskState.SUBMITTING, TaskState.SUBMITTED, TaskState.RUNNING, TaskState.COMPLETED)


def measure(site: Site) -> Iterator[Figure]:
    """Processor share and memory of the agent, and what a shell waits for beside it."""
    with site.agent() as agent:
        agent.wait_for("registered")
    jobs, settle, watch = site.pick((JOBS, _SETTLE, _WATCH), (1_000, 6.0, 6.0))
    fill(agent.state_dir / "ledger.sqlite", jobs)
    # As it polls where nothing has come for minutes.
    slow = {**site.environ, "RAINBOW_POLL_MIN": f"{Settings().poll_max:g}"}
    with replace(site, environ=slow).agent(agent.state_dir) as again:
        again.wait_for("journal_caught_up")
        pause(settle)
        load, others = machine.load(), machine.Others()
        before, woken = again.cpu_seconds(), again.wakeups()
        pause(watch)
        percent = (again.cpu_seconds() - before) / watch * 100
        woken = again.wakeups() - woken
        resident = again.usage.memory_info().rss / _MIB
        share = others.share()
        yield Figure(f"idle, {jobs:,} jobs: of a core", percent, "%", 0.5, others=share, load=load)
        yield Figure(f"idle, {jobs:,} jobs: memory", resident, "MiB", 64.0, others=share, load=load)
        note = ", ".join(f"{name} {n / watch:.2f}" for name, n in woken.most_common())
        each_s = sum(woken.values()) / watch
        yield Figure("idle: wake-ups", each_s, "/s", others=share, load=load, note=note)
        for argument in ("status", "--help"):
            yield _wall_time(site, again, argument)


def fill(path: Path, jobs: int, *, sign: int = -1) -> None:
    """Finished jobs, told to the ledger as the daemon would tell it.

    Args:
        path: the ledger.
        jobs: how many.
        sign: of their ids; rainbow's own are positive.
    """
    plan = plan_text(JOBSPEC)
    with closing(SqliteLedger.open(path)) as ledger:
        registration = ledger.current_registration()
        if registration is None:
            raise RuntimeError(f"{path} has no registration")
        now = time.time()
        with ledger.transaction():
            offers = [
                Offer(sign * n, f"old-{n}", registration.cluster, JOBSPEC) for n in range(jobs)
            ]
            keys = ledger.record_offers(registration.id, offers, now)
            ledger.record_plans([PlannedJob(key, plan) for key in keys], [], now)
            for state in _STORY:
                ledger.apply([_change(key, state, now) for key in keys])
            ledger.mark_accepted(registration.id, [key.id for key in keys], now)


def _change(job: JobKey, state: TaskState, now: float) -> TaskChange:
    code = 0 if state is TaskState.COMPLETED else None
    return TaskChange(TaskKey(job, "true", 0), state, now, "in the past", exit_code=code)


def _wall_time(site: Site, agent: AgentProcess, argument: str) -> Figure:
    environ = {
        **site.environ,
        "RAINBOW_CLUSTER": agent.state_dir.name,
        "RAINBOW_STATE_DIR": str(agent.state_dir),
    }
    load, others, values = machine.load(), machine.Others(), []
    for _ in range(site.pick(_CALLS, 3)):
        began = time.perf_counter()
        subprocess.run(
            [str(PROGRAM), argument], env=environ, stdout=subprocess.DEVNULL, check=True, timeout=30
        )
        values.append(time.perf_counter() - began)
    return Figure(
        f"rainbow-agent {argument}",
        statistics.median(values),
        "s",
        0.2,
        values=tuple(values),
        others=others.share(),
        load=load,
    )
