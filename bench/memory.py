"""The agent's resident memory against the number of jobs that it has run, with pruning on.

python -m bench.memory --minutes 30 sends jobs without pause, over the parts that the figures are
measured on (bench/site.py), and looks at 1,000, 2,000, 5,000, 10,000, ... jobs: when all are over
and the agent has rested for long enough to give memory back, and the first time also for all that
it does once a minute. Jobs that are not over take memory, so there are never more of them than in
the first thousand, which come in two bursts. At the end it is looked at once more when the last old
job is removed from the ledger, which falls behind above some 200 jobs a second.

With --fast the parts are the embedded ones, jobs end without a process (bench/ends_at_once.py), and
rainbow's rows are written into its database: a million jobs are an hour's work then. What the agent
sees and does is the same. Put TMPDIR on a tmpfs for it.
"""

from __future__ import annotations

import argparse
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path

from bench.agents import AgentProcess, pause
from bench.site import JOBSPEC, Site, open_site
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import eventually

#: Jobs that are sent at once, and that are not over at most.
_PORTION, _MAX_OPEN = 100, 500
#: Seconds until jobs that should be over are given up, and between two looks at them.
_PATIENCE_S, _LOOK_S = 300.0, 0.1
#: Seconds until all has happened once that happens every minute.
_MINUTELY_S = 75.0
#: Seconds without a job; the agent gives memory back at most once in 10 s.
_REST_S = 15.0
_MIB = 2**20


def looks() -> Iterator[int]:
    """The numbers of jobs at which the memory is looked at."""
    for power in count(3):
        yield from (first * 10**power for first in (1, 2, 5))


def run(
    agent: AgentProcess, send: Callable[[int, int], None], most: float, seconds: float, keep: int
) -> None:
    """Print a line at each look until so many jobs were sent or the time is over, and then two.

    Args:
        agent: it runs.
        send: sends jobs to its cluster: the number of the first of them, how many.
        most: jobs.
        seconds: after which no more are sent.
        keep: jobs that the agent keeps.
    """
    began, sent, stages = time.monotonic(), 0, looks()
    following, first = next(stages), 0.0

    def look() -> float:
        resident = _at_rest(agent, sent)
        print(
            f"{sent:9,} {resident:8.1f} MiB {resident - (first or resident):+12.1f} MiB"
            f" {_kept(agent):13,} {(time.monotonic() - began) / 60:8.1f}",
            flush=True,
        )
        return first or resident

    print(
        f"{'jobs':>9} {'resident':>12} {'since the first':>16} {'of them kept':>13} {'minutes':>8}"
    )
    while sent < following:
        agent.freeze()
        send(sent, _MAX_OPEN)
        agent.thaw()
        sent += _MAX_OPEN
        _wait_for_ends(agent, sent, 0)
    pause(_MINUTELY_S)
    while sent < most and time.monotonic() - began < seconds:
        if sent >= following:
            first, following = look(), next(stages)
        send(sent, _PORTION)
        sent += _PORTION
        _wait_for_ends(agent, sent - (_MAX_OPEN - _PORTION), _MAX_OPEN - _PORTION)
    look()
    while _kept(agent) > keep:
        pause(_REST_S)
    look()


def _wait_for_ends(agent: AgentProcess, received: int, still_open: int) -> None:
    """Until so many jobs were received, and at most so many of them are not over."""
    query = "SELECT (SELECT max(seq) FROM job), (SELECT count(*) FROM job WHERE finished IS NULL)"
    with closing(sqlite3.connect(f"file:{agent.state_dir}/ledger.sqlite?mode=ro", uri=True)) as db:
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            newest, unfinished = db.execute(query).fetchone()
            if (newest or 0) >= received and unfinished <= still_open:
                return
            if time.monotonic() > deadline:
                raise RuntimeError(f"job {received:,} did not end in time: {agent.tail()}")
            pause(_LOOK_S)


@contextmanager
def _by_calls(site: Site, agent: AgentProcess) -> Iterator[Callable[[int, int], None]]:
    """Sends jobs by SubmitJob, as every sender does."""
    with closing(RainbowScheduler(site.host)) as scheduler:

        def send(first: int, jobs: int) -> None:
            for number in range(first, first + jobs):
                site.submit(scheduler, agent, f"bench-{number}", JOBSPEC)

        yield send


@contextmanager
def _by_rows(site: Site, agent: AgentProcess) -> Iterator[Callable[[int, int], None]]:
    """Writes the rows that SubmitJob would, all in one transaction."""
    insert = "INSERT INTO jobs (name, cluster, jobspec) VALUES (?, ?, ?)"
    with closing(sqlite3.connect(site.db, timeout=_PATIENCE_S)) as db:

        def send(first: int, jobs: int) -> None:
            cluster, numbers = agent.state_dir.name, range(first, first + jobs)
            with db:
                db.executemany(insert, [(f"bench-{n}", cluster, JOBSPEC) for n in numbers])

        yield send


@contextmanager
def _quick_ends(folder: Path) -> Iterator[None]:
    """A workload manager whose jobs end at once, where an agent looks for its own."""
    folder.parent.mkdir(mode=0o700)
    server = subprocess.Popen([sys.executable, "-m", "bench.ends_at_once", str(folder)])
    try:
        eventually((folder / "workload.sock").exists, "the workload manager listens")
        yield
    finally:
        server.terminate()
        server.wait()


def _at_rest(agent: AgentProcess, sent: int) -> float:
    """MiB that the agent has when it has nothing to do."""
    _wait_for_ends(agent, sent, 0)
    pause(_REST_S)
    return float(agent.usage.memory_info().rss) / _MIB


def _kept(agent: AgentProcess) -> int:
    """How many jobs are in the ledger."""
    with closing(SqliteLedger.open_readonly(agent.state_dir / "ledger.sqlite")) as ledger:
        return sum(ledger.counts().values())


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--jobs", type=float, default=float("inf"), help="after which it ends")
    parser.add_argument("--keep", type=int, default=1_000, help="RAINBOW_KEEP_JOBS")
    parser.add_argument("--fast", action="store_true", help="for a million jobs, see above")
    given = parser.parse_args()
    with ExitStack() as stack:
        plain = stack.enter_context(open_site(embedded=given.fast))
        site = replace(plain, environ={**plain.environ, "RAINBOW_KEEP_JOBS": str(given.keep)})
        state = site.folder / "agent"
        if given.fast:
            stack.enter_context(_quick_ends(state / "workload"))
        agent = stack.enter_context(site.agent(state))
        send = stack.enter_context((_by_rows if given.fast else _by_calls)(site, agent))
        agent.wait_for("registered")
        agent.wait_for("journal_caught_up")
        run(agent, send, given.jobs, given.minutes * 60, given.keep)


if __name__ == "__main__":
    main()
