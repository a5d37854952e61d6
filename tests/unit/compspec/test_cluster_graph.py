"""The cluster graph: its levels, its ids, and graphs that come from elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_compspec import jgf
from rainbow_compspec.cluster import UNKNOWN_SOCKET, cluster_graph
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import Core, Gpu, NodeFacts
from rainbow_compspec.jgf import ROOT
from rainbow_compspec.jgf_read import load_cluster, parse_cluster
from rainbow_compspec.schedulable import restrict
from rainbow_compspec.simulate import parse, simulate
from support.compspec_facts import machines, nodes


@given(machines())
def test_every_graph_is_a_tree_under_the_cluster(machine: tuple[NodeFacts, ...]) -> None:
    """Ids are unique, each edge has both ends, and everything hangs on vertex 0 exactly once."""
    graph = cluster_graph("blue", machine)
    ids = [vertex.id for vertex in graph.vertices()]
    parents = Counter(edge.target for edge in graph.edges())
    assert len(ids) == len(set(ids)) == len(graph)
    assert {edge.source for edge in graph.edges()} <= set(ids)
    assert parents == Counter(id_ for id_ in ids if id_ != ROOT)
    assert parse_cluster(jgf.dumps(graph)).counts() == graph.counts()


@given(machines())
def test_counts_are_the_sums_of_the_nodes(machine: tuple[NodeFacts, ...]) -> None:
    """The graph has all nodes, cores, GPUs and known sockets, and no others."""
    counts = Counter(cluster_graph("blue", machine).counts())
    assert counts["cluster"] == 1
    assert counts["node"] == len(machine)
    assert counts["rack"] == len({facts.rack for facts in machine if facts.rack})
    assert counts["core"] == sum(len(facts.cores) for facts in machine)
    assert counts["gpu"] == sum(len(facts.gpus) for facts in machine)
    assert counts["socket"] == sum(len(set(facts.sockets) - {UNKNOWN_SOCKET}) for facts in machine)


@given(machines())
def test_vertices_carry_what_fluxion_reads(machine: tuple[NodeFacts, ...]) -> None:
    """Numbers are numbers, and a containment path leads to one vertex only."""
    graph = cluster_graph("blue", machine)
    paths = []
    for vertex in graph.vertices():
        metadata = vertex.metadata
        assert {"basename", "name", "unit", "exclusive"} <= metadata.keys()
        assert all(isinstance(metadata[key], int) for key in ("id", "uniq_id", "rank", "size"))
        assert str(metadata["uniq_id"]) == vertex.id
        paths.append(metadata["paths"]["containment"])
    assert len(paths) == len(set(paths))


def test_levels_and_places() -> None:
    """A core stands under its socket; a GPU under the socket of its NUMA domain, or the node."""
    cores = (Core(0, 0, numa=0), Core(1, 1, numa=1), Core(2, UNKNOWN_SOCKET))
    gpus = (Gpu(0, "nvidia", "H100", numa=1), Gpu(1, "nvidia"))
    graph = cluster_graph("blue", [NodeFacts("blue-0", cores=cores, gpus=gpus)])
    paths = [vertex.metadata["paths"]["containment"] for vertex in graph.vertices()]
    assert paths == [
        "/blue0",
        "/blue0/blue-0",
        "/blue0/blue-0/socket0",
        "/blue0/blue-0/socket1",
        "/blue0/blue-0/socket0/core0",
        "/blue0/blue-0/socket1/core1",
        "/blue0/blue-0/core2",
        "/blue0/blue-0/socket1/gpu0",
        "/blue0/blue-0/gpu1",
    ]


def test_racks_stand_between_the_cluster_and_its_nodes() -> None:
    """Where they are known; their ids come last, so that those of the nodes stay."""
    made = simulate(parse("nodes=3,cores=1"))
    stands = ("r2", "", "r1")
    racked = [replace(facts, rack=rack) for facts, rack in zip(made, stands, strict=True)]
    graph = cluster_graph("blue", racked)
    paths = {v.id: v.metadata["paths"]["containment"] for v in graph.vertices()}
    assert graph.node_ids == cluster_graph("blue", made).node_ids
    assert (paths["1"], paths["2"], paths["3"]) == (
        f"/blue0/r2/{made[0].name}",
        f"/blue0/{made[1].name}",
        f"/blue0/r1/{made[2].name}",
    )
    racks = {v.metadata["name"]: v.id for v in graph.vertices() if v.type == "rack"}
    assert sorted(racks) == ["r1", "r2"]
    edges = {(edge.source, edge.target) for edge in graph.edges()}
    assert {(ROOT, racks["r1"]), (racks["r2"], "1"), (racks["r1"], "3"), (ROOT, "2")} <= edges


def test_a_node_keeps_its_id_when_another_leaves() -> None:
    """Ids of nodes follow their ranks, so subsystems stay valid while ranks come and go."""
    made = [replace(facts, rank=rank) for rank, facts in enumerate(simulate(parse("nodes=3")))]
    assert cluster_graph("blue", made).node_ids == ("1", "2", "3")
    assert cluster_graph("blue", made[::2]).node_ids == ("1", "3")


@given(machines())
def test_the_same_nodes_give_the_same_graph(machine: tuple[NodeFacts, ...]) -> None:
    """Text is compared to see whether a cluster changed, so it may not vary by itself."""
    copies = [replace(facts, cores=(*facts.cores,)) for facts in machine]
    assert jgf.dumps(cluster_graph("blue", machine)) == jgf.dumps(cluster_graph("blue", copies))


@pytest.mark.parametrize(
    ("ranks", "message"),
    [((), "has no nodes"), ((0, 0), "rank 0 belongs to two"), ((0, None), "has no rank")],
)
def test_nodes_that_make_no_cluster(ranks: tuple[int | None, ...], message: str) -> None:
    """What is wrong with the list of nodes is said before anything is sent."""
    with pytest.raises(CompspecError, match=message):
        cluster_graph("blue", [NodeFacts("n", rank=rank) for rank in ranks])


@given(
    st.none() | nodes(), st.sets(st.integers(0, 20)), st.sets(st.integers(0, 6)), st.integers(0, 9)
)
def test_what_can_be_scheduled_decides(
    facts: NodeFacts | None, cores: set[int], gpus: set[int], rank: int
) -> None:
    """Cores and GPUs are those of the workload manager; what is known of them is kept."""
    found = restrict(facts, name="blue-7", rank=rank, cores=cores, gpus=gpus)
    assert [core.id for core in found.cores] == sorted(cores)
    assert [gpu.index for gpu in found.gpus] == sorted(gpus)
    assert (found.name, found.rank) == ("blue-7", rank)
    known = facts or NodeFacts("")
    assert set(known.cores) >= {core for core in found.cores if core.socket != UNKNOWN_SOCKET}
    assert (found.model, found.packages) == (known.model, known.packages)


def _upstream() -> dict[str, Any]:
    """A graph in upstream's dialect: a rack, ids in metadata as strings, edges both ways."""
    types = {"0": "cluster", "1": "rack", "2": "node", "3": "socket", "4": "core"}
    return {
        "graph": {
            "directed": True,
            "nodes": {
                id_: {"label": id_, "metadata": {"type": type_, "id": id_, "size": 1}}
                for id_, type_ in types.items()
            },
            "edges": [
                {"source": ends[not down], "target": ends[down], "relation": relation}
                for ends in (("0", "1"), ("1", "2"), ("2", "3"), ("3", "4"))
                for down, relation in ((True, "contains"), (False, "in"))
            ],
        }
    }


def test_a_graph_of_upstream_is_read(tmp_path: Path) -> None:
    """Its `in` edges say nothing new and are left out."""
    path = tmp_path / "cluster-nodes.json"
    path.write_text(json.dumps(_upstream()))
    graph = load_cluster(path)
    assert graph.counts() == {"cluster": 1, "rack": 1, "node": 1, "socket": 1, "core": 1}
    assert len(list(graph.edges())) == 4


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("graph",), None, '"graph" is missing'),
        (("graph", "nodes"), [], "is not an object keyed by id"),
        (("graph", "edges"), None, "no list"),
        (("graph", "edges", 0), "x", "edge 0 is not an object"),
        (("graph", "nodes", "0"), {"metadata": {}}, '"type" is missing'),
        (("graph", "nodes", "4"), {}, '"4" has no metadata'),
        (("graph", "nodes", "4", "metadata", "size"), "1", '"size" is not a whole number'),
        (("graph", "nodes", "4", "metadata", "size"), 2**31, '"size" is not a whole number'),
        (("graph", "nodes", "4", "metadata", "unit"), 3, '"unit" is not a string'),
        (("graph", "edges", 0, "target"), "17", "no vertex for its target '17'"),
        (("graph", "edges", 0, "source"), None, "no vertex for its source None"),
        (("graph", "edges", 6, "relation"), "near", '1 vertices are not under .* "4"'),
        (("graph", "edges", 6, "target"), "2", "circle"),
    ],
)
def test_a_damaged_graph_is_refused(
    tmp_path: Path, place: tuple[str | int, ...], value: object, message: str
) -> None:
    """What would end the server's process, or make it search for ever, is never sent to it."""
    document = _upstream()
    target: Any = document
    for step in place[:-1]:
        target = target[step]
    target[place[-1]] = value
    path = tmp_path / "cluster-nodes.json"
    path.write_text(json.dumps(document))
    with pytest.raises(CompspecError, match=message) as caught:
        load_cluster(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", ["", '{"graph": {"nodes"', "[" * 100_000, "[1]"])
def test_a_file_that_is_no_graph(text: str) -> None:
    """Cut off, nested without end, or something else: one clear error."""
    with pytest.raises(CompspecError, match="JSON"):
        parse_cluster(text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The message names the file."""
    with pytest.raises(CompspecError, match=r"missing\.json: cannot be read"):
        load_cluster(tmp_path / "missing.json")


@pytest.mark.parametrize("text", ["nodes=0", "sockets=0", "nodes=x", "nodes", "color=3"])
def test_a_simulation_that_makes_no_sense(text: str) -> None:
    """The option is named in the message."""
    with pytest.raises(CompspecError, match="--simulate"):
        parse(text)
