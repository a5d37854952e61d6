"""The fastest that the workload manager's own way takes jobs: a program of its own.

    python -m bench.bare_loop JOBS same|differing|chain [--unvalidated | --local FOLDER]

Submits jobs in one go, with what the agent would send, and prints how many a second. With Flux:
`submit_async` for all, then `get_id` of all, in the instance of FLUX_URI; unvalidated: with the
flag by which the agent spares Flux the check of one of many copies (FLUX_JOB_NOVALIDATE). With a
folder: the client of the local workload manager that runs there. One jobspec for all is made
beforehand; of those that differ each is made in its turn, the environment and all. In a chain each
job waits for the one before, whose id it has to know.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from bench.site import JOBSPEC
from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.core.workload_values import Submission, Submitted
from rainbow_agent.jobs.submitter import complete
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.runtime.environment import job_environment
from rainbow_agent.workload.flux import bindings as flux_bindings
from rainbow_agent.workload.local.workload import LocalWorkload

_KEY = TaskKey(JobKey("bare-loop", 1), "true", 0)

#: A job's number to its jobspec, as a mapping and as JSON text.
Make = Callable[[int], tuple[dict[str, Any], str]]
#: Submits so many.
Run = Callable[[Make, int], None]


#: Enough to start all of job-ingest's validators, which are programs that leave when idle.
_WARM_UP = 200


def main(arguments: list[str]) -> None:
    """Warm up, then measure."""
    parser = argparse.ArgumentParser()
    parser.add_argument("jobs", type=int)
    parser.add_argument("kind", choices=("same", "differing", "chain"))
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--unvalidated", action="store_true")
    how.add_argument("--local", type=Path)
    options = parser.parse_args(arguments)
    chained = options.kind == "chain"
    if options.local:
        run = local_loop(options.local, chained=chained)
    else:
        run = flux_loop(chained=chained, validated=not options.unvalidated)
    make = differing() if options.kind == "differing" else same()
    run(make, _WARM_UP if not chained else 1)
    began = time.perf_counter()
    run(make, options.jobs)
    print(options.jobs / (time.perf_counter() - began))


def same() -> Make:
    """What the agent sends for the bench's job, with a key that is in no ledger."""
    (task,) = plan_text(JOBSPEC).tasks
    jobspec = complete(task, _KEY, job_environment(os.environ))
    text = json.dumps(jobspec)
    return lambda _: (jobspec, text)


def differing() -> Make:
    """Likewise, a command of its own for each."""
    jobspec, _ = same()(0)

    def make(number: int) -> tuple[dict[str, Any], str]:
        tasks = [{**jobspec["tasks"][0], "command": ["true", str(number)]}]
        own = {**jobspec, "tasks": tasks}
        return own, json.dumps(own)

    return make


def flux_loop(*, chained: bool = False, validated: bool = True) -> Run:
    """As Flux's own Python bindings do it."""
    bindings = flux_bindings.load()  # makes libflux-core known to the loader
    sys.path.append(str(bindings.folder))  # those of the Flux install are outside any environment
    import flux  # noqa: PLC0415 - only now can it be imported
    import flux.job  # noqa: PLC0415

    handle = flux.Flux()

    def run(make: Make, jobs: int) -> None:
        futures = [
            flux.job.submit_async(handle, make(number)[1], novalidate=not validated)
            for number in range(jobs)
        ]
        for future in futures:
            future.get_id()

    def run_chain(make: Make, jobs: int) -> None:
        before: int | None = None
        for number in range(jobs):
            jobspec, _ = make(number)
            if before is not None:
                wait = {"scheme": "afterok", "value": flux.job.JobID(before).f58}
                jobspec = _with(jobspec, dependencies=[wait])
            before = flux.job.submit_async(handle, json.dumps(jobspec)).get_id()

    return run_chain if chained else run


def _with(jobspec: dict[str, Any], **system: Any) -> dict[str, Any]:
    attributes = jobspec["attributes"]
    return {
        **jobspec,
        "attributes": {**attributes, "system": {**attributes["system"], **system}},
    }


def local_loop(folder: Path, *, chained: bool = False) -> Run:
    """As the local workload manager's client does it."""

    def run(make: Make, jobs: int) -> None:
        with closing(LocalWorkload(folder, launch=False)) as workload:
            before: tuple[int, ...] = ()
            for number in range(jobs):
                workload.start_submit(Submission(_KEY, make(number)[0], before))
                while chained and workload.in_flight():
                    for outcome in workload.collect_outcomes(1.0):
                        if isinstance(outcome, Submitted):
                            before = (outcome.flux_id,)
            while workload.in_flight():
                workload.collect_outcomes(1.0)

    return run


if __name__ == "__main__":
    main(sys.argv[1:])
