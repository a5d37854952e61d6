"""Fluxion denies jobs for more nodes than are up: they wait for their nodes, and run once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.states import JobState
from support.common import eventually
from support.fleet import jobspec, task
from support.flux import NO_FLUXION, PrivateFlux, fluxion_environ, private_flux
from support.outages import is_up
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

#: Seconds for what takes Flux, the node watcher and a round, on a machine that is busy.
LIMIT_S = 120.0

pytestmark = pytest.mark.flux


@pytest.fixture
def flux() -> Iterator[PrivateFlux]:
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=True):
        pytest.skip(missing)
    if fluxion_environ() is None:
        pytest.skip(NO_FLUXION)
    with private_flux(size=4, scheduler="fluxion") as instance:
        yield instance


@pytest.fixture
def site(flux: PrivateFlux, tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path, flux=flux, poll_max=2) as site:
        assert site.program.run("register").code == 0
        yield site


def on_nodes(count: int, *tasks: dict[str, Any], name: str) -> dict[str, Any]:
    """A job of tasks: those with the resource `all` are for so many nodes, and these alone."""
    core = {"type": "core", "count": 1}
    document = jobspec(*tasks, name=name)
    document["resources"]["all"] = {
        "type": "node",
        "count": count,
        "exclusive": True,
        "with": [core],
    }
    return document


def whole(each: dict[str, Any]) -> dict[str, Any]:
    """The task, for all nodes."""
    return {**each, "resources": "all"}


def states(site: Site) -> dict[str, JobState]:
    return {row.name: row.state for row in site.program.rows()}


def waits_for(site: Site, name: str, words: str) -> None:
    """`jobs` and `explain` name the nodes."""

    def shown() -> str:
        views = site.program.show("jobs")
        return next((view["reason"] or "" for view in views if view["name"] == name), "")

    eventually(lambda: words in shown(), f"{name} waits for {words}", seconds=LIMIT_S)
    (job,) = (row.key.id for row in site.program.rows() if row.name == name)
    view = site.program.show("explain", str(job))
    open_waits = [wait["for"] for wait in view["waits"] if wait["to"] is None]
    assert any(words in each for each in open_waits), open_waits


def test_a_drained_node_is_waited_for(site: Site, flux: PrivateFlux) -> None:
    """Tasks, chains and groups; what waited in Flux already; other jobs are received meanwhile."""
    with site.program.background("start") as agent:
        is_up(agent, site)
        site.fleet.send(on_nodes(4, whole(task(["sleep", "15"], "sleeps")), name="busy"))
        eventually(lambda: states(site).get("busy") is JobState.RUNNING, "runs", seconds=LIMIT_S)
        site.fleet.send(on_nodes(4, whole(task(site.writes("queued"), "main")), name="queued"))
        eventually(lambda: states(site).get("queued") is JobState.SUBMITTED, "", seconds=LIMIT_S)
        flux.run("flux", "resource", "drain", "3", "maintenance")
        first = whole(task(site.writes("first"), "first"))
        second = task(site.writes("second"), "second", depends_on=["first"])
        third = task(site.writes("third"), "third", depends_on=["second"])
        site.fleet.send(on_nodes(4, first, second, third, name="chain"))
        grouped = on_nodes(4, task(site.writes("before"), "before"), name="group")
        inside = [task(site.writes("inside"), "inside")]
        of_group = {"name": "g", "resources": "all", "depends_on": ["before"], "tasks": inside}
        grouped["groups"] = [of_group]
        site.fleet.send(grouped)
        for name in ("queued", "chain", "group"):
            waits_for(site, name, "(drained)")
        site.fleet.send(jobspec(task(site.writes("small"), "small"), name="small"))
        eventually(lambda: states(site).get("small") is JobState.COMPLETED, "", seconds=LIMIT_S)
        assert states(site)["queued"] is JobState.RECEIVED
        agent.kill()
    with site.program.background("start") as agent:
        is_up(agent, site)
        flux.run("flux", "resource", "undrain", "3")
        done = dict.fromkeys(("busy", "queued", "chain", "group", "small"), JobState.COMPLETED)
        eventually(lambda: states(site) == done, "all completed", seconds=LIMIT_S)
        assert agent.stop() == 0
    once = Counter(["second", "third", "before", "inside", "small"])
    assert Counter(site.written()) == once + Counter({"queued": 4, "first": 4})
    assert not site.fleet.waiting()


def test_what_no_nodes_can_give_is_refused(site: Site, flux: PrivateFlux) -> None:
    """It does not wait for a node that would not help."""
    flux.run("flux", "resource", "drain", "3", "maintenance")
    with site.program.background("start") as agent:
        is_up(agent, site)
        site.fleet.send(on_nodes(5, whole(task(["true"], "main")), name="five"))
        eventually(lambda: states(site).get("five") is JobState.REFUSED, "", seconds=LIMIT_S)
