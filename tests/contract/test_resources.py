"""Each form of resources, by what the workload manager gives for it.

Real Flux with made-up nodes, GPUs among them, says it itself (R, RFC 20); the job's run is mock
execution there. The local workload manager has one node: how many processes run on how many cores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from rainbow_agent.core.notation import f58
from rainbow_agent.core.site import Site, SiteNode
from rainbow_agent.core.workload_values import EventKind, Submitted
from rainbow_agent.jobs.submitter import complete
from rainbow_agent.jobspec.placement import place
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.workload.flux.workload import FluxWorkload
from rainbow_agent.workload.local.workload import LocalWorkload, shut_down
from support.common import eventually
from support.flux import (
    NO_FLUX,
    PrivateFlux,
    flux_command,
    private_flux,
)
from support.places import Client, new_key

NODES, CORES, GPUS = 8, 8, 2

#: Resources, and what they are on eight nodes of eight cores and two GPUs: nodes, cores in all,
#: GPUs in all, processes. 0 nodes: as many as the scheduler likes.
FORMS = {
    "a core": ("{type: core, count: 1}", (1, 1, 0, 1)),
    "cores on one node": ("{type: core, count: 6}", (1, 6, 0, 1)),
    "cores anywhere": ("{type: core, replicas: 20}", (0, 20, 0, 20)),
    "plural": ("{type: cores, count: 6}", (1, 6, 0, 1)),
    "nodes with cores": ("{type: node, count: 4, with: [{type: core, count: 4}]}", (4, 16, 0, 4)),
    "node with a GPU": ("{type: node, count: 2, with: [{type: gpu, count: 1}]}", (2, 2, 2, 2)),
    "cores and GPUs": (
        "{type: node, count: 2, with: [{type: core, count: 3}, {type: gpus, count: 2}]}",
        (2, 6, 4, 2),
    ),
    "GPUs alone": ("{type: gpu, count: 2}", (1, 1, 2, 1)),
    "GPUs anywhere": ("{type: gpu, replicas: 5}", (0, 5, 5, 5)),
    "whole nodes": ("{type: node, count: 2}", (2, 16, 4, 2)),
    "whole nodes with cores": (
        "{type: node, count: 2, exclusive: true, with: [{type: core, count: 2}]}",
        (2, 16, 4, 2),
    ),
    # Twelve times four cores are more than there are nodes: count would never run.
    "slots anywhere": (
        "{type: node, replicas: 12, with: [{type: core, count: 4}]}",
        (0, 48, 0, 12),
    ),
    "slot": ("{type: slot, count: 3, with: [{type: core, count: 2}]}", (0, 6, 0, 3)),
    "slots in nodes": (
        "{type: node, count: 2, with: [{type: slot, count: 3, with: [{type: core, count: 2}]}]}",
        (2, 12, 0, 6),
    ),
    "sockets": (
        "{type: node, count: 1, with: [{type: socket, count: 2, with: [{type: core, count: 2}]}]}",
        (1, 4, 0, 1),
    ),
    "rack": (
        "{type: rack, count: 1, with: [{type: node, count: 3, with: [{type: core, count: 1}]}]}",
        (3, 3, 0, 3),
    ),
    "racks as upstream's client writes them": (
        "{type: rack, replicas: 2, with: [{type: node, count: 1, with: [{type: core, count: 2}]}]}",
        (2, 4, 0, 2),
    ),
}


def planned(resource: str, command: list[str], site: Site | None = None) -> dict[str, Any]:
    """The Flux jobspec of a command on a resource, as the agent submits it."""
    document = {
        "version": 1,
        "resources": {"r": yaml.safe_load(resource)},
        "tasks": [{"command": command, "resources": "r"}],
    }
    plan = plan_text(json.dumps(document))
    (task,) = (place(plan, site) if site else plan).tasks
    return complete(task, new_key(), {"PATH": "/usr/bin:/bin"})


@dataclass
class MadeUp:
    """A real Flux whose nodes are made up."""

    flux: PrivateFlux
    client: Client

    def given(self, jobspec: dict[str, Any]) -> tuple[int, int, int, int]:
        """Nodes, cores, GPUs and processes that Flux gives a job; then it is ended."""
        attributes = jobspec["attributes"]
        system = {**attributes["system"], "exec": {"test": {"run_duration": "100s"}}}
        (outcome,) = self.client.submit({**jobspec, "attributes": {"system": system}})
        assert isinstance(outcome, Submitted), outcome
        job = f58(outcome.flux_id)
        try:
            self.flux.run("flux", "job", "wait-event", "-t", "30", job, "alloc")
            found = json.loads(self.flux.run("flux", "job", "info", job, "R"))["execution"]
        finally:
            self.flux.run("flux", "cancel", job)
            self.client.end(outcome.flux_id)
        nodes = cores = gpus = 0
        for entry in found["R_lite"]:
            ranks = count(entry["rank"])
            nodes += ranks
            cores += ranks * count(entry["children"].get("core", ""))
            gpus += ranks * count(entry["children"].get("gpu", ""))
        (vertex,) = jobspec["resources"]
        per_node = vertex["with"][0]["count"] if vertex["type"] == "node" else 1
        return nodes, cores, gpus, vertex["count"] * per_node


def count(idset: str) -> int:
    """How many numbers are in `0-3,7`."""
    total = 0
    for part in idset.split(",") if idset else ():
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


@pytest.fixture(scope="module")
def made_up() -> Iterator[MadeUp]:
    """Eight nodes of eight cores and two GPUs."""
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    wanted = {"nnodes": NODES, "cores-per-node": CORES, "gpus-per-node": GPUS}
    options = [f"--conf=fake-resources.{key}={value}" for key, value in wanted.items()]
    with (
        private_flux(options=options) as flux,
        closing(FluxWorkload(flux.uri)) as workload,
        closing(workload.open_journal()) as journal,
    ):
        yield MadeUp(flux, Client(workload, journal))


@pytest.mark.flux
@pytest.mark.parametrize("form", FORMS)
def test_what_flux_allocates(made_up: MadeUp, form: str) -> None:
    """As many nodes, cores, GPUs and processes as the specification says."""
    resource, wanted = FORMS[form]
    nodes, *rest = made_up.given(planned(resource, ["hostname"]))
    assert rest == list(wanted[1:])
    assert wanted[0] in (0, nodes)
    assert 1 <= nodes <= NODES


@pytest.mark.flux
def test_count_is_nodes_where_replicas_are_slots(made_up: MadeUp) -> None:
    """Four cores four times: on four nodes, or on two, if those are all that may be used."""
    linux: dict[str, Any] = {"os": ({"os.name": "linux"},)}
    traits = [linux if rank < 2 else {} for rank in range(NODES)]
    site = Site(tuple(SiteNode(r, "x", CORES, GPUS, traits=t) for r, t in enumerate(traits)))
    rest = "requires: [{name: os, field: os.name, match: linux}], with: [{type: core, count: 4}]}"
    slots = planned("{type: node, replicas: 4, " + rest, ["hostname"], site)
    assert made_up.given(slots) == (2, 16, 0, 4)
    nodes = planned("{type: node, count: 2, " + rest, ["hostname"], site)
    assert made_up.given(nodes) == (2, 8, 0, 2)


#: Of these forms, those that fit on one node of eight cores: cores, and processes.
LOCAL = {
    form: (resource, wanted[1], wanted[3])
    for form, (resource, wanted) in FORMS.items()
    if wanted[0] <= 1 and wanted[1] <= CORES and not wanted[2]
}


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """One node of eight cores."""
    folder = tmp_path_factory.mktemp("local")
    try:
        with (
            closing(LocalWorkload(folder, cores=CORES)) as workload,
            closing(workload.open_journal()) as journal,
        ):
            yield Client(workload, journal)
    finally:
        shut_down(folder)


@pytest.mark.parametrize("form", LOCAL)
def test_what_the_local_workload_manager_gives(form: str, local: Client, tmp_path: Path) -> None:
    """So many cores are taken while so many processes run."""
    resource, cores, processes = LOCAL[form]
    jobspec = planned(resource, ["sh", "-c", f"touch {tmp_path}/$$; exec sleep 100"])
    (outcome,) = local.submit(jobspec)
    assert isinstance(outcome, Submitted), outcome
    local.until(EventKind.START, outcome.flux_id)
    eventually(lambda: len(list(tmp_path.iterdir())) == processes, "all of them run")
    (node,) = local.workload.resources().nodes
    assert node.cores - node.cores_free == cores
    local.workload.cancel([outcome.flux_id], "seen")
    local.end(outcome.flux_id)
