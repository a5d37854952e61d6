"""1,000 jobs that wait in rainbow: received, stored, submitted, accepted; and the bare loop."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import machine
from bench.agents import AgentProcess, moment
from bench.figures import Figure
from bench.site import Site
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import eventually

JOBS = 1000
#: Rounds of each kind: at least, at most; the time in seconds after which no more are begun.
MIN_ROUNDS, _MAX_ROUNDS, _MAX_SECONDS = 3, 6, 30.0
#: A round in which others used more of the machine than this says little; it is left out of the
#: medians where there are enough others.
QUIET = 0.10
_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Way:
    """What kind of jobs, and whether the workload manager may start them meanwhile."""

    name: str
    running: bool
    differing: bool  # each with a jobspec of its own

    @property
    def kind(self) -> str:
        """What the bare loop calls it."""
        return "differing" if self.differing else "same"


#: The first two only where a queue can be stopped.
WAYS = (
    Way("queue stopped", running=False, differing=False),
    Way("queue stopped, each job another", running=False, differing=True),
    Way("jobs running", running=True, differing=False),
)


@dataclass(frozen=True)
class Round:
    """The bare loops and the agent, one after the other; jobs per second."""

    bare: float
    unvalidated: float | None  # the bare loop with the agent's flags; none over local parts
    ours: float
    others: float  # the larger share that others used of the machine meanwhile


def measure(site: Site) -> Iterator[Figure]:
    """Pure submission (Flux only), then with jobs that run."""
    jobs = site.pick(JOBS, 300)
    ways = [way for way in WAYS if way.running or site.flux]
    with site.agent() as agent:
        agent.wait_for("registered")
        agent.wait_for("journal_caught_up")
        _round(site, agent, jobs, ways[0])  # warms up
        with agent.profiled(site.profile):
            for way in ways:
                load = machine.load()
                yield from summary(way.name, list(_rounds(site, agent, jobs, way)), load)


def summary(what: str, rounds: list[Round], load: float) -> list[Figure]:
    """Medians of the quiet rounds: the agent's rate, the bare loops', the one over the other.

    The ratios are taken round by round: what slows the machine for a while slows both.
    """
    quiet = [each for each in rounds if each.others <= QUIET]
    chosen = quiet if len(quiet) >= MIN_ROUNDS else rounds
    others = statistics.median(each.others for each in chosen)

    def figure(name: str, values: list[float], unit: str, goal: float | None) -> Figure:
        return Figure(
            f"{name}, {what}",
            statistics.median(values),
            unit,
            goal,
            at_least=True,
            values=tuple(values),
            others=others,
            load=load,
            note=f"{len(quiet)} of {len(rounds)} rounds were quiet",
        )

    found = [
        figure("jobs through the agent", [each.ours for each in chosen], "jobs/s", 250.0),
        figure("bare submit loop", [each.bare for each in chosen], "jobs/s", None),
        figure("agent / bare loop", [each.ours / each.bare for each in chosen], "", 0.8),
    ]
    flags = [(each.ours, each.unvalidated) for each in chosen if each.unvalidated is not None]
    if flags:
        rates = [rate for _, rate in flags]
        ratios = [ours / rate for ours, rate in flags]
        found += [
            figure("bare submit loop, unvalidated", rates, "jobs/s", None),
            figure("agent / bare loop, flag for flag", ratios, "", 0.8),
        ]
    return found


def _rounds(site: Site, agent: AgentProcess, jobs: int, way: Way) -> Iterator[Round]:
    end, quiet = time.monotonic() + _MAX_SECONDS, 0
    for number in range(site.pick(_MAX_ROUNDS, 1)):
        if number >= MIN_ROUNDS and (time.monotonic() > end or quiet > MIN_ROUNDS):
            return
        each = _round(site, agent, jobs, way)
        quiet += each.others <= QUIET
        yield each


def _round(site: Site, agent: AgentProcess, jobs: int, way: Way) -> Round:
    rates, shares = [], []
    for unvalidated in (False, True) if site.flux else (False,):
        with held(site, agent, running=way.running):
            others = machine.Others()
            rates.append(bare_rate(site, agent, jobs, way.kind, unvalidated=unvalidated))
            shares.append(others.share())
    with held(site, agent, running=way.running):
        site.offer(agent, jobs, differing=way.differing)
        bare_rate(site, agent, 1, way.kind)  # its warming-up serves the agent as well
        others = machine.Others()
        ours = our_rate(agent, jobs)
        shares.append(others.share())
    return Round(rates[0], rates[1] if len(rates) > 1 else None, ours, max(shares))


@contextmanager
def held(site: Site, agent: AgentProcess, *, running: bool) -> Iterator[None]:
    """The agent frozen, the queue as wanted; afterwards no job is left and the agent rests."""
    if site.flux:
        site.flux.run("flux", "queue", "start" if running else "stop", "--all", "--quiet")
    agent.freeze()
    try:
        yield
    finally:
        agent.thaw()
        if site.flux:
            site.flux.run("flux", "cancel", "--all", "--quiet")
            site.flux.run("flux", "queue", "drain", timeout=60.0)
        _wait_for_ends(agent)
        agent.wait_idle()


def bare_rate(
    site: Site, agent: AgentProcess, jobs: int, kind: str, *, unvalidated: bool = False
) -> float:
    """Jobs per second of the bare loop (bare_loop.py), which makes jobs of this kind."""
    how = ["--unvalidated"] if unvalidated else []
    if not site.flux:
        how = ["--local", str(agent.state_dir / "workload")]
    done = subprocess.run(
        [sys.executable, "-m", "bench.bare_loop", str(jobs), kind, *how],
        cwd=_ROOT,
        env=dict(site.environ),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    return float(done.stdout)


def our_rate(agent: AgentProcess, jobs: int) -> float:
    """Jobs per second from when the agent may go on to its last AcceptJobs."""
    began = time.time()
    agent.thaw()
    eventually(lambda: agent.accepted(began) >= jobs, f"{jobs} jobs are accepted", seconds=120.0)
    return jobs / (moment(agent.entries("accepted", began)[-1]) - began)


def _wait_for_ends(agent: AgentProcess) -> None:
    path = agent.state_dir / "ledger.sqlite"
    with closing(SqliteLedger.open_readonly(path)) as ledger:
        eventually(lambda: ledger.open_jobs() == 0, "all jobs are over", seconds=120.0)
