"""From the start of the process to a registered cluster."""

from __future__ import annotations

import statistics
from collections.abc import Iterator

from bench import machine
from bench.agents import moment
from bench.figures import Figure
from bench.site import Site

_STARTS = 5


def measure(site: Site) -> Iterator[Figure]:
    """Each start is of a cluster that rainbow does not know yet."""
    load, others, values = machine.load(), machine.Others(), []
    starts = site.pick(_STARTS, 2)
    for _ in range(starts):
        with site.agent() as agent:
            values.append(moment(agent.wait_for("registered")) - agent.started)
    yield Figure(
        "start to registered",
        statistics.median(values),
        "s",
        1.0,
        values=tuple(values),
        others=others.share(),
        load=load,
        note=f"one node, {starts} starts",
    )
