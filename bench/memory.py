"""The agent's resident memory against the number of jobs that it has run, with pruning on.

python -m bench.memory --minutes 30 sends jobs without pause, over the parts that the figures are
measured on (bench/site.py), and looks at 1,000, 2,000, 5,000, 10,000, ... jobs: when all are over
and the agent has rested for long enough to give memory back. Jobs that are not over take memory,
so there are never more of them than in the first thousand.
"""

from __future__ import annotations

import argparse
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from itertools import count

from bench.agents import AgentProcess, pause
from bench.site import JOBSPEC, Site, open_site
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import eventually

#: Jobs that are sent at once, and that are not over at most.
_PORTION, _MAX_OPEN = 100, 500
#: Seconds without a job; the agent gives memory back at most once in 10 s.
_REST_S = 15.0
_MIB = 2**20


def looks() -> Iterator[int]:
    """The numbers of jobs at which the memory is looked at."""
    for power in count(3):
        yield from (first * 10**power for first in (1, 2, 5))


def run(site: Site, agent: AgentProcess, seconds: float) -> None:
    """Print a line at each look until the time is over, and one at the end."""
    began, sent, stages = time.monotonic(), 0, looks()
    following, first = next(stages), 0.0
    print(
        f"{'jobs':>9} {'resident':>12} {'since the first':>16} {'of them kept':>13} {'minutes':>8}"
    )
    with closing(RainbowScheduler(site.host)) as scheduler:
        over = False
        while not over:
            over = time.monotonic() - began > seconds
            if sent >= following or over:
                resident = _at_rest(agent, sent)
                first = first or resident
                print(
                    f"{sent:9,} {resident:8.1f} MiB {resident - first:+12.1f} MiB"
                    f" {_kept(agent):13,} {(time.monotonic() - began) / 60:8.1f}",
                    flush=True,
                )
                following = next(stages)
            for _ in range(_PORTION if not over else 0):
                site.submit(scheduler, agent, f"bench-{sent}", JOBSPEC)
                sent += 1
            _wait_for_ends(agent, sent - (_MAX_OPEN - _PORTION), _MAX_OPEN - _PORTION)


def _wait_for_ends(agent: AgentProcess, received: int, still_open: int) -> None:
    """Until so many jobs were received, and at most so many of them are not over."""

    def over() -> bool:
        rows = db.execute("SELECT max(seq), sum(finished IS NULL) FROM job").fetchone()
        return (rows[0] or 0) >= received and (rows[1] or 0) <= still_open

    with closing(sqlite3.connect(f"file:{agent.state_dir}/ledger.sqlite?mode=ro", uri=True)) as db:
        eventually(over, "jobs are over", seconds=120.0)


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
    parser.add_argument("--keep", type=int, default=1_000, help="RAINBOW_KEEP_JOBS")
    given = parser.parse_args()
    with open_site() as plain:
        site = replace(plain, environ={**plain.environ, "RAINBOW_KEEP_JOBS": str(given.keep)})
        with site.agent() as agent:
            agent.wait_for("registered")
            agent.wait_for("journal_caught_up")
            run(site, agent, given.minutes * 60)


if __name__ == "__main__":
    main()
