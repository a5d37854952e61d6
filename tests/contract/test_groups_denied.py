"""A node of a group's own instance is drained: what tasks for all of its nodes do then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.states import TaskState
from rainbow_agent.workload.flux.workload import FluxWorkload
from support.flux import NO_FLUX, NO_FLUXION, flux_command, fluxion_environ, private_flux
from support.groups import GroupSite, states
from support.places import Place

WHOLE = {"type": "node", "count": 2, "exclusive": True, "with": [{"type": "core", "count": 1}]}

pytestmark = pytest.mark.flux


@pytest.fixture
def nodes(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[GroupSite]:
    """Two nodes; the instances of groups have this scheduler, too."""
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    if request.param == "fluxion":
        if (found := fluxion_environ()) is None:
            pytest.skip(NO_FLUXION)
        for name, value in found.items():
            monkeypatch.setenv(name, value)
    with private_flux(size=2, scheduler=request.param) as flux:
        yield GroupSite(Place("flux", flux.uri, 4, lambda: FluxWorkload(flux.uri)), tmp_path)


def group(site: GroupSite, *more: dict[str, object]) -> dict[str, object]:
    """A group of both nodes: one is drained, then a task for both is submitted, and one after."""
    drains = "flux resource drain 1 maintenance && flux module list > $0"
    return {
        "resources": {"one": {"type": "core", "count": 1}, "all": WHOLE},
        "groups": [
            {
                "name": "g",
                "resources": "all",
                "tasks": [
                    {"name": "first", "command": site.note("first"), "resources": "all"},
                    {"name": "drain", "local": True, "depends_on": ["first"],
                     "command": ["sh", "-c", drains, str(site.folder / "modules")]},
                    {"name": "both", "command": site.note("both"), "resources": "all",
                     "depends_on": ["drain"]},
                    {"name": "next", "command": site.note("next"), "resources": "one",
                     "depends_on": ["both"]},
                    {"name": "beside", "command": site.note("beside"), "resources": "one",
                     "depends_on": ["drain"]},
                    *more,
                ],
            }
        ],
    }  # fmt: skip


@pytest.mark.parametrize("nodes", ["fluxion", "sched-simple"], indirect=True)
def test_a_task_that_waits_in_a_group(nodes: GroupSite) -> None:
    """It, and what depends on it, run once when the node is back.

    Over Fluxion what need not wait does not; sched-simple's queue is in order.
    """
    # Fluxion's denials are among the jobs that are over.
    known = "until flux jobs -ano {name} | grep -q g/both; do sleep 0.2; done"
    ran = f"grep -q simple {nodes.folder}/modules || until grep -q beside {nodes.marks}"
    ran += "; do sleep 0.2; done"
    back = {
        "name": "undrain",
        "local": True,
        "depends_on": ["drain"],
        "command": ["sh", "-c", f"{known}; {ran}; flux resource undrain 1"],
    }
    found = nodes.run(group(nodes, back))
    assert set(found.values()) == set(states(any="completed").values())
    assert sorted(nodes.lines()) == sorted(["beside", "next", *["first", "both"] * 2])
    fluxion = "sched-fluxion-qmanager" in (nodes.folder / "modules").read_text()
    waits = [news.reason for news in nodes.changes["g/both"] if news.state is TaskState.PENDING]
    assert any(reason and "(drained)" in reason for reason in waits) == fluxion
