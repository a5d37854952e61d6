"""Many clusters of many nodes behind one rainbow: what a job costs as their number grows.

    PYTHONPATH=.:tests python -m bench.many_clusters [--clusters 20] [--nodes 1000] [--jobs 100000]

Flux 0.86 or newer makes up the nodes, and jobs on them run for a moment without a process
(bench/ends_made_up.py); agents, rainbow and each cluster's Flux are the real ones, on loopback.
Jobs go to all clusters in turn. A line is printed when 1,000, 2,000, 5,000, ... of them are over:
how many a second since the line before, what a job took of a core in each part, and the memory of
the largest agent and of rainbow. At the end every Flux is asked how many jobs it ran: each one
once, or the program exits with status 1. docs/scale.md has the figures.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import machine
from bench.agents import AgentProcess, pause, running_agent
from bench.many_nodes import CORES, GPUS
from bench.memory import looks
from bench.site import JOBSPEC, SECRET, TOKEN
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from support.common import eventually
from support.flux import PrivateFlux, private_flux
from support.servers import SchedulerKind, SchedulerProcess, running_scheduler

_COLUMNS = ("JOBS", "JOBS/S", "OF A CORE ms: AGENTS", "FLUX", "RAINBOW", "MiB: AGENT", "RAINBOW")
#: Jobs of one cluster that are not over at most: what Flux has at once is not what is measured.
_MAX_OPEN = 500
_LOOK_S, _PATIENCE_S, _MIB = 0.5, 600.0, 2**20
_MADE_UP = Path(__file__).with_name("ends_made_up.py")


@dataclass(frozen=True)
class Cluster:
    """One Flux with its agent."""

    flux: PrivateFlux
    agent: AgentProcess

    @property
    def name(self) -> str:
        """Under which it is registered."""
        return self.agent.state_dir.name

    def over(self) -> int:
        """How many jobs have ended, by its ledger."""
        path = f"file:{self.agent.state_dir / 'ledger.sqlite'}?mode=ro"
        with closing(sqlite3.connect(path, uri=True, timeout=_PATIENCE_S)) as db:
            query = "SELECT count(*) FROM job WHERE finished IS NOT NULL"
            return int(db.execute(query).fetchone()[0])

    def ran(self) -> tuple[int, int]:
        """How many jobs Flux had, and how many of them ended well."""
        stats = json.loads(self.flux.run("flux", "job", "stats"))
        return stats["job_states"]["total"], stats["successful"]


@dataclass(frozen=True)
class Look:
    """Seconds, and of a core, since the beginning."""

    at: float
    agents: float
    flux: float
    rainbow: float


class Fleet:
    """All of them, and the jobs that were sent."""

    def __init__(self, server: SchedulerProcess, clusters: Sequence[Cluster]) -> None:
        self._server, self.clusters = server, clusters
        self._rainbow = psutil.Process(server.pid)
        self._sent = 0

    def send(self, until: int) -> None:
        """Send jobs to all clusters in turn until so many were, none with too many at a time."""
        senders = [
            threading.Thread(target=self._send_some, args=(self._sent + part, until))
            for part in (0, 1)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        self._sent = until

    def _send_some(self, first: int, until: int) -> None:
        count = len(self.clusters)
        with closing(RainbowScheduler(self._server.host)) as scheduler:
            for number in range(first, until, 2):
                if number - first and not (number - first) % (2 * count):
                    self._await(number - count * _MAX_OPEN)
                name = self.clusters[number % count].name
                scheduler.submit(f"bench-{number}", {name: TOKEN}, JOBSPEC)

    def _await(self, jobs: int) -> None:
        """Until so many of them are over."""
        if jobs > 0:
            eventually(
                lambda: sum(each.over() for each in self.clusters) >= jobs,
                f"{jobs} jobs are over",
                seconds=_PATIENCE_S,
            )

    def await_ends(self) -> None:
        """Until all that were sent are over."""
        self._await(self._sent)

    def look(self) -> Look:
        """What they have used."""
        agents = sum(each.agent.cpu_seconds() for each in self.clusters)
        flux = sum(_of_tree(each.flux.pid) for each in self.clusters)
        times = self._rainbow.cpu_times()
        return Look(time.monotonic(), agents, flux, times.user + times.system)

    def mib(self) -> tuple[float, float]:
        """The memory of the largest agent, and of rainbow."""
        largest = max(each.agent.usage.memory_info().rss for each in self.clusters)
        return largest / _MIB, self._rainbow.memory_info().rss / _MIB


def _of_tree(pid: int) -> float:
    root = psutil.Process(pid)
    times = [each.cpu_times() for each in (root, *root.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def rows(fleet: Fleet, jobs: int) -> Iterator[list[str]]:
    """The lines, as each number of jobs is reached."""
    done, before = 0, fleet.look()
    for reached in looks():
        if reached > jobs:
            return
        fleet.send(reached)
        fleet.await_ends()
        now, new = fleet.look(), reached - done
        parts = zip(
            (now.agents, now.flux, now.rainbow),
            (before.agents, before.flux, before.rainbow),
            strict=True,
        )
        costs = [f"{1000 * (after - earlier) / new:.2f}" for after, earlier in parts]
        memory = [f"{each:.0f}" for each in fleet.mib()]
        yield [f"{reached:,}", f"{new / (now.at - before.at):.0f}", *costs, *memory]
        pause(_LOOK_S)
        done, before = reached, fleet.look()


def _started(stack: ExitStack, server: SchedulerProcess, count: int, nodes: int) -> list[Cluster]:
    wanted = {"nnodes": nodes, "cores-per-node": CORES, "gpus-per-node": GPUS}
    options = [f"--conf=fake-resources.{key}={value}" for key, value in wanted.items()]
    options.append(f'--conf=ingest.frobnicator.plugins=["{_MADE_UP}"]')
    folder, clusters = server.db.parent, []
    for number in range(count):
        log = folder / f"flux-{number}.log"
        flux = stack.enter_context(private_flux(options=options, scheduler="sched-simple", log=log))
        environ = {name: v for name, v in flux.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environ |= {
            "RAINBOW_HOST": server.host,
            "RAINBOW_SECRET": SECRET,
            "RAINBOW_CLUSTER": f"cluster-{number}",
            "RAINBOW_WORKLOAD": "flux",
            "RAINBOW_HTTP": "off",
        }
        agent = running_agent(environ, folder / f"cluster-{number}")
        clusters.append(Cluster(flux, stack.enter_context(agent)))
    return clusters


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--clusters", type=int, default=20)
    parser.add_argument("--nodes", type=int, default=1_000)
    parser.add_argument("--jobs", type=int, default=100_000)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rainbow-many-")))
        server = stack.enter_context(
            running_scheduler(SchedulerKind.REAL, folder, secret=SECRET, global_token=TOKEN)
        )
        began = time.monotonic()
        clusters = _started(stack, server, given.clusters, given.nodes)
        for each in clusters:
            each.agent.wait_for("registered")
            each.agent.wait_for("journal_caught_up")
        print(
            f"{given.clusters} clusters registered after {time.monotonic() - began:.0f} s", end=""
        )
        print(f", load {machine.load():.1f}", flush=True)
        fleet = Fleet(server, clusters)
        print("  ".join(_COLUMNS), flush=True)
        sent = 0
        for row in rows(fleet, given.jobs):
            sent = int(row[0].replace(",", ""))
            print("  ".join(row), flush=True)
        ran = [each.ran() for each in clusters]
        had, well = (sum(each[part] for each in ran) for part in (0, 1))
        print(f"sent {sent:,}; Flux had {had:,} jobs, {well:,} of them ended well", flush=True)
        sys.exit(0 if (had, well) == (sent, sent) else 1)


if __name__ == "__main__":
    main()
