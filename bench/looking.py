"""What a person at a shell waits for, with 100,000 finished jobs in the ledger."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Iterator

from bench import machine
from bench.agents import PROGRAM
from bench.figures import Figure
from bench.idle import fill
from bench.site import Site

JOBS = 100_000
_CALLS = 10
_GOAL = 0.3  # seconds
_VERBS = (
    ["--help"],
    ["status"],
    ["jobs"],
    ["jobs", "--state", "failed"],
    ["jobs", "--name", "*-7"],
    ["jobs", "5000"],
    ["explain", "5000"],
)


def measure(site: Site) -> Iterator[Figure]:
    """Wall time of the verbs that people type, the daemon being down."""
    with site.agent() as agent:
        agent.wait_for("registered")
    jobs = site.pick(JOBS, 10_000)
    fill(agent.state_dir / "ledger.sqlite", jobs, sign=1)
    environ = {
        **site.environ,
        "RAINBOW_CLUSTER": agent.state_dir.name,
        "RAINBOW_STATE_DIR": str(agent.state_dir),
    }
    for words in _VERBS:
        load, others, values = machine.load(), machine.Others(), []
        for _ in range(site.pick(_CALLS, 3)):
            began = time.perf_counter()
            subprocess.run(
                [str(PROGRAM), *words], env=environ, capture_output=True, check=False, timeout=60
            )
            values.append(time.perf_counter() - began)
        yield Figure(
            f"{jobs:,} jobs: {' '.join(words)}",
            statistics.median(values),
            "s",
            _GOAL,
            values=tuple(values),
            others=others.share(),
            load=load,
        )
