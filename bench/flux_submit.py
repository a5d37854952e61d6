"""What submitting through the adapter costs, against a bare loop of flux.job.submit_async.

    flux start -- python bench/flux_submit.py [--jobs N] [--rounds N] [--json FILE]

Both send the same jobspec, with a host's environment, to the same instance, in turns. The jobs
are cancelled before they could run, so that only the submitting is measured. The journal is read
at the end. Prints a table; the figures are of this machine.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.core.workload_values import EventKind, Submission, Submitted
from rainbow_agent.workload.flux import bindings
from rainbow_agent.workload.flux.workload import FluxWorkload

#: About as large as the environment of a login shell.
ENVIRONMENT = {"PATH": "/usr/bin:/bin"} | {f"VARIABLE_{i}": "x" * 60 for i in range(30)}


@dataclass(frozen=True)
class Measure:
    """One way of doing one thing, the middle of several rounds."""

    what: str
    rate: float  # per second of the clock
    cpu: float  # microseconds of this process's processor time for each


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=500, help="jobs in a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args()
    # Validators are processes that start with the first job and leave when idle: warm them, and
    # hold all jobs back so that none runs while another is submitted.
    subprocess.run(["flux", "queue", "stop", "--all", "--quiet"], check=True)
    with closing(FluxWorkload()) as workload:
        rows = submit_rates(workload, options.jobs, options.rounds)
        rows.append(journal_rate(workload))
    show(rows)
    ratio = rows[1].rate / rows[0].rate
    print(f"adapter / bare loop: {ratio:.2f}")
    if options.json:
        report = {"measures": [asdict(row) for row in rows], "ratio": ratio}
        options.json.write_text(json.dumps(report, indent=2) + "\n")


def submit_rates(workload: FluxWorkload, jobs: int, rounds: int) -> list[Measure]:
    """Rates of the bare loop and of the adapter, in turns."""
    ways: dict[str, Callable[[int], list[int]]] = {
        "bare submit_async": bare_loop(),
        "adapter": lambda n: through_adapter(workload, n),
    }
    seen: dict[str, list[tuple[float, float]]] = {what: [] for what in ways}
    for number in range(rounds + 1):
        for what, way in ways.items():
            began, worked = time.perf_counter(), time.process_time()
            ids = way(jobs)
            took, cost = time.perf_counter() - began, time.process_time() - worked
            workload.cancel(ids, "a benchmark")
            if number:  # the first round warms up
                seen[what].append((jobs / took, cost / jobs * 1e6))
    return [measure(what, figures) for what, figures in seen.items()]


def bare_loop() -> Callable[[int], list[int]]:
    """The fastest that the bindings' own way does."""
    bindings.load()  # makes libflux-core known to the loader
    import flux  # noqa: PLC0415 - only now can it be imported
    import flux.job  # noqa: PLC0415

    handle = flux.Flux()
    text = json.dumps(jobspec())

    def run(jobs: int) -> list[int]:
        futures = [flux.job.submit_async(handle, text) for _ in range(jobs)]
        return [int(future.get_id()) for future in futures]

    return run


def through_adapter(workload: FluxWorkload, jobs: int) -> list[int]:
    """As the dispatcher does it: each with a key of its own, many in flight."""
    shared = jobspec()
    ids: list[int] = []
    for number in range(jobs):
        key = TaskKey(JobKey("benchmark", number), "task", 0)
        attributes = {**shared["attributes"], "user": {"rainbow": key.to_attribute()}}
        workload.start_submit(Submission(key, {**shared, "attributes": attributes}))
    while workload.in_flight():
        ids += [o.flux_id for o in workload.collect_outcomes(1.0) if isinstance(o, Submitted)]
    return ids


def journal_rate(workload: FluxWorkload) -> Measure:
    """All that happened so far, read as history."""
    began, worked, events = time.perf_counter(), time.process_time(), 0
    with closing(workload.open_journal()) as journal:
        caught_up = False
        while not caught_up:
            batch = journal.next_events(10.0)
            events += len(batch)
            caught_up = any(event.kind is EventKind.CAUGHT_UP for event in batch)
    took, cost = time.perf_counter() - began, time.process_time() - worked
    return Measure("journal event", events / took, cost / events * 1e6)


def jobspec() -> dict[str, Any]:
    """A task of one core that does nothing."""
    core = {"type": "core", "count": 1}
    return {
        "version": 1,
        "resources": [{"type": "slot", "count": 1, "label": "task", "with": [core]}],
        "tasks": [{"command": ["true"], "slot": "task", "count": {"per_slot": 1}}],
        "attributes": {"system": {"duration": 0, "environment": ENVIRONMENT, "cwd": "/tmp"}},
    }


def measure(what: str, figures: Sequence[tuple[float, float]]) -> Measure:
    """The median round."""
    rates, costs = zip(*figures, strict=True)
    return Measure(what, statistics.median(rates), statistics.median(costs))


def show(rows: Sequence[Measure]) -> None:
    """A table."""
    print(f"{'':<20}{'per second':>12}{'us CPU each':>14}")
    for row in rows:
        print(f"{row.what:<20}{row.rate:>12.0f}{row.cpu:>14.1f}")


if __name__ == "__main__":
    main()
