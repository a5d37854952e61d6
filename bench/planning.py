"""Large jobs: how long planning takes, and how fast the agent submits what was planned."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from bench import machine
from bench.agents import AgentProcess, moment
from bench.figures import Figure
from bench.site import Site
from bench.throughput import bare_rate
from rainbow_agent.core.model import JobKey, TaskRow
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.jobs.order import JobOrder, rows_of
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.wire import to_wire
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import eventually

_ROUNDS = 3
#: Links of the chain that the bare loop makes.
_BARE_LINKS = 200
_JOB_TIMEOUT_S = 240.0  # seconds until a job is given up


@dataclass(frozen=True)
class Large:
    """A job of many submissions."""

    name: str
    replicas: int  # of each task
    tasks: int  # each after the one before

    @property
    def submissions(self) -> int:
        """How many jobs of the workload manager it is."""
        return self.replicas * self.tasks

    def text(self) -> str:
        """Its jobspec, as it comes from rainbow."""
        tasks: list[dict[str, Any]] = [
            {"name": f"t{n}", "resources": "one", "replicas": self.replicas, "command": ["true"]}
            | ({"depends_on": [f"t{n - 1}"]} if n else {})
            for n in range(self.tasks)
        ]
        one = {"type": "core", "count": 1}
        return to_wire({"version": 1, "resources": {"one": one}, "tasks": tasks})


LARGE = (
    Large("a task of 10,000 replicas", replicas=10_000, tasks=1),
    Large("a chain of 1,000 tasks", replicas=1, tasks=1_000),
)


def measure(site: Site) -> Iterator[Figure]:
    """Planning first, without any server; then each job once through an agent."""
    for large in LARGE:
        load, others = machine.load(), machine.Others()
        values = tuple(plan_seconds(large) for _ in range(site.pick(_ROUNDS, 1)))
        yield Figure(
            f"planning {large.name}",
            statistics.median(values),
            "s",
            1.0,
            values=values,
            others=others.share(),
            load=load,
        )
    for large in site.pick(LARGE, ()):
        with site.agent() as agent:  # one each: the local workload manager's jobs end with it
            agent.wait_for("registered")
            agent.wait_for("journal_caught_up")
            yield from _submitted(site, agent, large)


def plan_seconds(large: Large) -> float:
    """From the text to what the dispatcher can submit: parsed, planned, a row for each replica."""
    text = large.text()
    began = time.perf_counter()
    plan = plan_text(text)
    rows = rows_of(plan, JobKey("bench", 1))
    JobOrder(plan, rows).start()
    took = time.perf_counter() - began
    if len(rows) != large.submissions:
        raise RuntimeError(f"{large.name} is planned as {len(rows)} submissions")
    return took


def _submitted(site: Site, agent: AgentProcess, large: Large) -> Iterator[Figure]:
    """One job, given to rainbow while the agent is frozen; Flux starts nothing meanwhile."""
    if site.flux:
        site.flux.run("flux", "queue", "stop", "--all", "--quiet")
    agent.freeze()
    with closing(RainbowScheduler(site.host)) as scheduler:
        site.submit(scheduler, agent, large.name, large.text())
    load, others = machine.load(), machine.Others()
    bare = bare_rate(site, agent, _BARE_LINKS, "chain") if large.tasks > 1 else None
    began = time.time()
    agent.thaw()
    eventually(
        lambda: agent.accepted(began) >= 1,
        f"{large.name} is submitted and accepted",
        seconds=_JOB_TIMEOUT_S,
    )
    share, rows = others.share(), _rows(agent)
    times = [row.submitted for row in rows if row.submitted is not None]
    if len(rows) != large.submissions or len(times) < len(rows):
        raise RuntimeError(f"{large.name}: {len(times)} of {len(rows)} were submitted")
    # It is accepted once all of it is submitted: planning and the ledger count, too.
    took = moment(agent.entries("accepted", began)[-1]) - began
    if site.flux:
        site.flux.run("flux", "cancel", "--all", "--quiet", timeout=_JOB_TIMEOUT_S)
        site.flux.run("flux", "queue", "start", "--all", "--quiet")
        site.flux.run("flux", "queue", "drain", timeout=_JOB_TIMEOUT_S)

    def figure(name: str, value: float, unit: str, goal: float | None, note: str = "") -> Figure:
        return Figure(name, value, unit, goal, at_least=True, others=share, load=load, note=note)

    rate = large.submissions / took
    note = f"{took:.1f} s from rainbow to accepted"
    yield figure(f"submitting {large.name}", rate, "jobs/s", 250.0, note)
    if bare is not None:
        yield figure("bare submit loop, a chain", bare, "jobs/s", None)
        yield figure("agent / bare loop, a chain", rate / bare, "", 0.8)


def _rows(agent: AgentProcess) -> tuple[TaskRow, ...]:
    """The tasks of the job that came last."""
    with closing(SqliteLedger.open_readonly(agent.state_dir / "ledger.sqlite")) as ledger:
        return ledger.jobs()[-1].tasks
