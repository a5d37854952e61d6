"""From SubmitJob to the task in the workload manager, with default poll settings."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import closing

from bench import machine
from bench.agents import AgentProcess, pause
from bench.figures import Figure
from bench.site import Site
from rainbow_agent.core.workload_values import EventKind
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from support.common import eventually

_JOBS = 30
_EVERY = 1.0  # seconds


def measure(site: Site) -> Iterator[Figure]:
    """Jobs that arrive one a second."""
    with site.agent() as agent:
        agent.wait_for("registered")
        agent.wait_for("journal_caught_up")
        load, others = machine.load(), machine.Others()
        jobs = site.pick(_JOBS, 8)
        began = time.time()
        sent = _send(site, agent, jobs)
        eventually(lambda: agent.accepted(began) == jobs, "all jobs are accepted")
        share = others.share()
        arrived = _arrivals(site, agent)
    # Rainbow counts its ids up: the order of ids is that of SubmitJob.
    values = [there - here for here, there in zip(sent, arrived, strict=True)]
    yield Figure(
        "SubmitJob to submit event",
        statistics.median(values),
        "s",
        0.25,
        values=tuple(values),
        others=share,
        load=load,
        note=f"{jobs} jobs, one a second",
    )


def _send(site: Site, agent: AgentProcess, jobs: int) -> list[float]:
    """When each SubmitJob was called, epoch seconds."""
    sent = []
    with closing(RainbowScheduler(site.host)) as scheduler:
        for number in range(jobs):
            sent.append(time.time())
            site.submit(scheduler, agent, f"bench-{number}")
            pause(_EVERY)
    return sent


def _arrivals(site: Site, agent: AgentProcess) -> list[float]:
    """The times of the submit events in the workload manager's journal, by rainbow's id."""
    found: dict[int, float] = {}
    with (
        closing(site.workload(agent)) as workload,
        closing(workload.open_journal()) as journal,
    ):
        caught_up = False
        while not caught_up:
            for event in journal.next_events(10.0):
                caught_up = caught_up or event.kind is EventKind.CAUGHT_UP
                if event.kind is EventKind.SUBMIT and event.key is not None:
                    found[event.key.job.id] = event.time
    return [found[job] for job in sorted(found)]
