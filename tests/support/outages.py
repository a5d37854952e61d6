"""For tests of outages: one cluster's usual moments, time that goes faster, and how long it took.

What a Timer measures is written down where `RELIABILITY_JSON` names a file.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rainbow_agent.core.states import JOB_MOVES, JobState
from rainbow_agent.runtime import fault_injection
from rainbow_agent.runtime.clock import SystemClock
from support.common import eventually
from support.fleet import jobspec, task
from support.program import Running
from support.site import Site

#: A file of JSON lines; `make reliability` reads it (bench/reliability.py).
FILE: Final = "RELIABILITY_JSON"


class Timer:
    """`with timer(what, parts, until)`: the seconds that the block took."""

    @contextmanager
    def __call__(self, what: str, parts: str, until: str, rate: float = 1.0) -> Iterator[None]:
        """Time a block.

        Args:
            what: the outage that is over when the block begins.
            parts: over which parts: `embedded`, `rainbow`, `flux`, `local`.
            until: what is true again when the block ends.
            rate: how many times as fast the agent's time goes; the seconds are the agent's.
        """
        begin = time.monotonic()
        yield
        seconds = (time.monotonic() - begin) * rate
        path = os.environ.get(FILE)
        if path:
            line = {"what": what, "parts": parts, "until": until, "seconds": round(seconds, 2)}
            with Path(path).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


@contextmanager
def timed() -> Iterator[Timer]:
    """A Timer for one test."""
    yield Timer()


def hasty(rate: float) -> dict[str, str]:
    """The environment of an agent whose time goes so many times as fast ."""
    return {
        fault_injection.ALLOWED: "1",
        # A wait for the workload manager's news is the system's second, and many of the agent's.
        fault_injection.LOOP_LIMIT: str(60.0 * rate),
        fault_injection.HASTE: f"{rate}@{SystemClock().now()}",
    }


def expect_in_order(reports: Sequence[Mapping[str, Any]]) -> None:
    """What was reported of each job goes forward only; a final state is never left.

    Args:
        reports: the payloads of UpdateState that the server took, in order.

    Raises:
        AssertionError: a job goes back, or the reports do.
    """
    states: dict[str, JobState] = {}
    at = 0.0
    for report in reports:
        if report["reported"] < at:
            raise AssertionError(f"a report of {report['reported']} after one of {at}")
        at = report["reported"]
        for job, name in report["jobs"].items():
            state, before = JobState(name), states.get(job, JobState.RECEIVED)
            back = (before, state) == (JobState.SUBMITTED, JobState.RECEIVED)
            if state is not before and (back or (before, state) not in JOB_MOVES):
                raise AssertionError(f"job {job}: {state.value} after {before.value}")
            states[job] = state


def is_up(agent: Running, site: Site) -> None:
    """Wait until the agent is registered and follows the journal."""
    agent.says("Caught up")
    eventually(site.program.config.exists, "it is registered")
    eventually(lambda: site.fleet.credentials.cluster_secret, "it has its secret")


def runs_a_job(site: Site, number: int) -> None:
    """Send a job, and wait until it is the number-th that is over, and reported."""
    site.fleet.send(jobspec(task(site.writes(f"job {number}"))))
    site.program.await_end(number)
    eventually(lambda: not site.unreported(), "rainbow has the reports")


def waits(gate: Path, then: str = "true") -> list[str]:
    """A command that continues when a file is there."""
    return ["sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done; {then}"]


def states_of(site: Site) -> dict[str, JobState]:
    """Each job's state, by its name."""
    return {row.name: row.state for row in site.program.rows()}
