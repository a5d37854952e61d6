"""Planning leaves nothing behind that only the cycle collector can free, which runs seldom."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.site import Site, SiteNode
from rainbow_agent.jobspec.placement import needs_site, place
from rainbow_agent.jobspec.plan import plan_text
from support.evil import Evil, corpus

EXAMPLES = Path(__file__).parents[2] / "fixtures/jobspecs"
SITE = Site(tuple(SiteNode(rank, f"node-{rank}", 8, 2) for rank in range(4)))


def texts() -> Iterator[Evil]:
    """The whole corpus: what runs, what is refused, and what is badly written."""
    for path in sorted(EXAMPLES.rglob("*.yaml")):
        yield Evil(path.name, path.read_text(encoding="utf-8", errors="surrogateescape"))
    yield from corpus()
    tasks = "".join(f"- {{command: [x], resources: no, depends_on: [t{n}]}}\n" for n in range(50))
    yield Evil("many faults", f"version: 1\nunknown: 1\ntasks:\n{tasks}")


def plan_and_place(text: str) -> None:
    """Plan a text on the nodes of a site, as the dispatcher does."""
    try:
        plan = plan_text(text)
        if needs_site(plan):
            place(plan, SITE)
    except JobspecError as exc:
        str(exc)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing is collected but what a test collects."""
    plan_and_place(next(texts()).text)  # what is imported and cached with the first plan
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("no_collector")
def test_no_plan_makes_a_cycle() -> None:
    """Of the whole corpus of jobspecs nothing is left for the collector."""
    left = {}
    for evil in texts():
        plan_and_place(evil.text)
        found = gc.collect()
        if found:
            left[evil.name] = found
    assert left == {}
