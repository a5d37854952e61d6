"""The cluster graph in the form that Fluxion reads; tests/contract has it read by the real one."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from rainbow_compspec.cluster import cluster_graph
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import NodeFacts, Package
from rainbow_compspec.fluxion import WithoutSockets, in_racks, software_tree, write
from rainbow_compspec.jgf import ROOT
from rainbow_compspec.simulate import Simulation, simulate


def written(nodes_per_rack: int, *, sockets: bool) -> dict[str, Any]:
    graph = cluster_graph("blue", simulate(Simulation(3, 2, 4, 2), "blue"))
    stream = io.StringIO()
    racked = in_racks(graph, nodes_per_rack)
    if not sockets:
        racked = WithoutSockets(racked)
    write(racked, stream)
    found: dict[str, Any] = json.loads(stream.getvalue())["graph"]
    assert len(found["nodes"]) == len(racked)
    return found


@pytest.mark.parametrize("sockets", [True, False])
@pytest.mark.parametrize(("nodes_per_rack", "racks"), [(0, 0), (1, 3), (2, 2), (9, 1)])
def test_a_tree_whose_paths_are_its_edges(
    nodes_per_rack: int, racks: int, *, sockets: bool
) -> None:
    """Each vertex has one parent, whose path begins its own; ids are unique, racks have no rank."""
    graph = written(nodes_per_rack, sockets=sockets)
    by_id = {vertex["id"]: vertex["metadata"] for vertex in graph["nodes"]}
    assert len(by_id) == len(graph["nodes"])
    parents = {edge["target"]: edge["source"] for edge in graph["edges"]}
    assert set(parents) == set(by_id) - {ROOT}
    for child, parent in parents.items():
        path = by_id[child]["paths"]["containment"]
        assert path.rpartition("/")[0] == by_id[parent]["paths"]["containment"]
    assert sum(data["type"] == "socket" for data in by_id.values()) == (6 if sockets else 0)
    found = [data for data in by_id.values() if data["type"] == "rack"]
    assert [data["rank"] for data in found] == [-1] * racks


def test_a_rack_of_less_than_nothing() -> None:
    """It is said."""
    graph = cluster_graph("blue", simulate(Simulation(), "blue"))
    with pytest.raises(CompspecError, match="-1 nodes in a rack"):
        in_racks(graph, -1)


def test_software_as_a_tree() -> None:
    """A vertex for each package, whatever node has it, with its versions."""
    first = NodeFacts(name="a", packages=(Package("ior", "3.3"), Package("ior", "4.0")))
    second = NodeFacts(name="b", packages=(Package("amg", "1.2"),))
    graph = software_tree("blue", [first, second])
    found = {v.type: v.metadata["properties"]["versions"] for v in graph.vertices() if v.id != ROOT}
    assert found == {"ior": "3.3 4.0", "amg": "1.2"}
    assert len([*graph.edges()]) == 2
    with pytest.raises(CompspecError, match="no node has any package"):
        software_tree("blue", [NodeFacts(name="a")])
