"""The wire form: it always fits, and it keeps what rainbow counts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_compspec import jgf
from rainbow_compspec.cluster import ClusterGraph, cluster_graph
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import NodeFacts, Package
from rainbow_compspec.jgf import ROOT, ExplicitGraph
from rainbow_compspec.jgf_read import parse_cluster, parse_subsystem
from rainbow_compspec.outline import outline
from rainbow_compspec.pooling import Pooling, in_nodes, split
from rainbow_compspec.simulate import Simulation, simulate
from rainbow_compspec.subsystems import SubsystemGraph, subsystem_graph
from rainbow_compspec.wire import MAX_TEXT_BYTES, Form, WireForm, encode
from support.compspec_facts import machines

_CLUSTER_FORMS = [Form.FULL, Form.COMPACT, Form.POOLED, Form.SPREAD]


def _cluster(nodes: int, cores: int = 64, gpus: int = 8, sockets: int = 2) -> ClusterGraph:
    simulation = Simulation(nodes=nodes, sockets=sockets, cores=cores, gpus=gpus)
    return cluster_graph("blue", simulate(simulation))


def _read(sent: WireForm) -> ExplicitGraph:
    return parse_cluster(sent.text)


def _vertices(graph: ExplicitGraph) -> Counter[str]:
    """Vertices a type, whatever their size: what the server counts before it searches."""
    return Counter(vertex.type for vertex in graph.vertices())


@given(machines(), st.integers(100, 6000))
def test_whatever_the_limit_it_holds_and_nothing_is_lost(
    machine: tuple[NodeFacts, ...], limit: int
) -> None:
    """Every form is connected, and has all nodes, cores and GPUs of the cluster."""
    graph = cluster_graph("blue", machine)
    try:
        sent = encode(graph, limit)
    except CompspecError:
        return  # the next test says when
    assert len(sent.text.encode()) <= limit
    found = _read(sent)
    for type_ in ("cluster", "node", "core", "gpu"):
        assert found.counts().get(type_, 0) == graph.counts().get(type_, 0)
    assert _vertices(found)["node"] == len(machine)


@given(machines())
def test_the_forms_follow_each_other(machine: tuple[NodeFacts, ...]) -> None:
    """With less and less space a form never says more, until none fits."""
    graph = cluster_graph("blue", machine)
    forms = list(_forms_downwards(graph))
    assert forms == sorted(forms)
    assert forms[0] == 0
    with pytest.raises(CompspecError, match="not even its shortest form fits into"):
        encode(graph, 50)


def _forms_downwards(graph: ClusterGraph) -> Iterator[int]:
    """The places of the forms that come when there is always a byte too little for the last."""
    limit = MAX_TEXT_BYTES
    with suppress(CompspecError):
        while True:
            sent = encode(graph, limit)
            yield _CLUSTER_FORMS.index(sent.form)
            limit = len(sent.text) - 1


@given(machines())
def test_the_full_form_has_everything(machine: tuple[NodeFacts, ...]) -> None:
    """What fits as it is, is sent as it is."""
    graph = cluster_graph("blue", machine)
    sent = encode(graph)
    assert sent.form is Form.FULL
    assert sent.text == jgf.dumps(graph)


def test_the_compact_form_is_the_same_graph() -> None:
    """Same vertices and edges, without what only people and other tools read."""
    graph = _cluster(4)
    sent = encode(graph, limit=len(jgf.dumps(graph)) - 1)
    assert sent.form is Form.COMPACT
    assert list(_read(sent).edges()) == list(graph.edges())
    assert {v.id: v.type for v in _read(sent).vertices()} == {
        v.id: v.type for v in graph.vertices()
    }


@pytest.mark.parametrize(
    ("nodes", "form", "most"),
    [
        (1, Form.FULL, 64),
        (10, Form.FULL, 64),
        (200, Form.COMPACT, 64),
        (2_000, Form.POOLED, 8),
        (10_000, Form.POOLED, 1),
    ],
)
def test_every_node_keeps_as_many_slots_as_fit(nodes: int, form: Form, most: int) -> None:
    """`replicas: N` needs N vertices of the type: a slot a node at least, more while they fit."""
    sent = encode(_cluster(nodes))
    found = _vertices(_read(sent))
    assert sent.form is form
    assert found["node"] == nodes
    assert found["core"] >= nodes * most
    assert found["gpu"] >= nodes * min(8, most)


@pytest.mark.parametrize("limit", [30_000, 100_000, 200_000])
def test_no_room_is_wasted(limit: int) -> None:
    """One vertex a type and node more would not fit, or all but."""
    graph = _cluster(100)
    sent = encode(graph, limit)
    assert sent.form is Form.POOLED
    assert sent.most is not None
    reduced = outline(graph)
    more = Pooling(reduced, in_nodes(reduced), sent.most + 1)
    assert len("".join(jgf.frame(more.vertices(), more.edges()))) > 0.97 * limit


def test_pools_are_even() -> None:
    """No core vertex of a node is much larger than another, so slots are not hidden in one."""
    sent = encode(_cluster(100), 100_000)
    sizes = {vertex.size for vertex in _read(sent).vertices() if vertex.type == "core"}
    assert max(sizes) - min(sizes) <= 1


def test_beyond_a_vertex_a_node_the_cluster_holds_the_pools() -> None:
    """Nodes stay, for their number and their subsystems; the cores hang on the cluster."""
    sent = encode(_cluster(100), 25_000)
    assert sent.form is Form.SPREAD
    graph = _read(sent)
    holders = {e.source for e in graph.edges() if graph.by_id[e.target].type in {"core", "gpu"}}
    assert holders == {ROOT}
    assert sent.most is not None
    assert _vertices(graph) == {"cluster": 1, "node": 100, "core": sent.most, "gpu": sent.most}


def test_a_cluster_beyond_all_forms() -> None:
    """The message says what to do."""
    with pytest.raises(CompspecError, match="register it in parts"):
        encode(_cluster(100), 5_000)


def test_a_graph_from_a_file_is_reduced_like_ours() -> None:
    """Levels above the nodes stay; within a node everything is summed."""
    graph = _cluster(20)
    text = jgf.dumps(graph).replace('"type":"core"', '"type":"core","speed":"fast"')
    limit = 20_000
    foreign, ours = encode(parse_cluster(text), limit), encode(graph, limit)
    assert foreign.form is ours.form is Form.POOLED
    assert foreign.most == ours.most
    assert _read(foreign).counts() == _read(ours).counts() == graph.counts()


@given(st.integers(0, 1000), st.integers(1, 100))
def test_splitting_loses_nothing(total: int, most: int) -> None:
    """Parts are at least 1, nearly equal, and as many as allowed."""
    parts = split(total, most)
    assert sum(parts) == total
    assert len(parts) == min(total, most)
    assert all(parts)
    assert max(parts, default=0) - min(parts, default=0) <= 1


def _spack(nodes: int, kinds: int = 1, packages: int = 300) -> SubsystemGraph:
    made = simulate(Simulation(nodes=nodes, packages=packages))
    own = [(*made[0].packages, Package("of-kind", str(kind))) for kind in range(kinds)]
    mixed = [replace(facts, packages=own[n % kinds]) for n, facts in enumerate(made)]
    return subsystem_graph("spack", mixed, cluster_graph("blue", mixed).node_ids)


def _profiles(text: str) -> dict[str, dict[str, str]]:
    """What each node's vertex says, by the node's id in the cluster graph."""
    graph = json.loads(text)["graph"]
    return {
        edge["source"]: {
            name: value
            for name, value in graph["nodes"][edge["target"]]["metadata"].items()
            if name not in {"basename", "name"}
        }
        for edge in graph["edges"]
        if edge["source"].isdecimal() and edge["relation"] == "contains"
    }


def test_nodes_with_the_same_software_share_a_vertex() -> None:
    """10,000 nodes and 300 packages: the server finds the same attributes as in the full form."""
    sent = encode(_spack(10_000, kinds=3))
    assert sent.form is Form.SHARED
    assert len(sent.text) < MAX_TEXT_BYTES / 2
    small = _spack(12, kinds=3)
    full, shared = encode(small), encode(small, len(jgf.dumps(small)) - 1)
    assert (full.form, shared.form) == (Form.FULL, Form.SHARED)
    assert _profiles(full.text) == _profiles(shared.text)
    assert len(json.loads(shared.text)["graph"]["nodes"]) == 3


def test_the_last_form_of_a_subsystem_has_the_newest_versions() -> None:
    """When every node has software of its own, `<package>@<version>` goes first."""
    graph = _spack(200, kinds=200, packages=30)
    shared = encode(graph, len(jgf.dumps(graph)) - 1)
    trimmed = encode(graph, len(shared.text) - 1)
    assert (shared.form, trimmed.form) == (Form.SHARED, Form.TRIMMED)
    for node_id, said in _profiles(trimmed.text).items():
        assert said == {k: v for k, v in _profiles(shared.text)[node_id].items() if "@" not in k}
    with pytest.raises(CompspecError, match="not even its shortest form"):
        encode(graph, len(trimmed.text) - 1)


@given(machines(), st.integers(200, 4000))
def test_a_subsystem_fits_or_is_refused(machine: tuple[NodeFacts, ...], limit: int) -> None:
    """The limit holds for subsystems too, and every node that has one keeps it."""
    ids = cluster_graph("blue", machine).node_ids
    graph = subsystem_graph("hardware", machine, ids)
    try:
        sent = encode(graph, limit)
    except CompspecError:
        assert limit < len(jgf.dumps(graph))
        return
    assert len(sent.text.encode()) <= limit
    assert _profiles(sent.text).keys() == set(ids)


def test_a_foreign_subsystem_loses_what_hangs_below() -> None:
    """Only the vertices on the nodes are matched."""
    own = _spack(3, packages=20)
    foreign = parse_subsystem(jgf.dumps(own), ["1", "2", "3"])
    sent = encode(foreign, len(jgf.dumps(own)) // 2)
    assert sent.form is Form.COMPACT
    assert _profiles(sent.text) == _profiles(jgf.dumps(own))
