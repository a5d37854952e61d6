"""Does a job fit into a cluster: counted, sized, each resource once, every requirement met."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rainbow_agent.core import requirements
from rainbow_agent.fleet.scheduler_server import request
from rainbow_agent.fleet.scheduler_server.failure import Failure
from rainbow_agent.fleet.scheduler_server.graph import Cluster, Graphs, parse_cluster
from rainbow_agent.fleet.scheduler_server.matching import matching, satisfies
from support.servers import make_graph, make_subsystem

Resource = dict[str, Any]


def fits(cluster: Cluster, *resources: Resource) -> bool:
    named = {f"r{i}": resource for i, resource in enumerate(resources)}
    return satisfies(cluster, request.parse(json.dumps({"resources": named})))


def plain(nodes: int = 2, cores: int = 4, gpus: int = 0) -> Cluster:
    return parse_cluster(make_graph(nodes, cores, gpus))


def tree(*edges: tuple[str, str], **sizes: int) -> Cluster:
    """A graph from edges between ids; a vertex's type is its id up to the first digit."""
    ids = {end for edge in edges for end in edge} | {"0"}
    nodes = {
        i: {"metadata": {"type": i.rstrip("0123456789") or "cluster", "size": sizes.get(i, 1)}}
        for i in ids
    }
    links = [{"source": s, "target": t, "relation": "contains"} for s, t in edges]
    return parse_cluster(json.dumps({"graph": {"nodes": nodes, "edges": links}}))


def cores(count: int, **more: Any) -> Resource:
    return {"type": "core", "count": count, **more}


def node(count: int | None = None, *inside: Resource, **more: Any) -> Resource:
    counted = {} if count is None else {"count": count}
    return {"type": "node", "with": list(inside), **counted, **more}


@pytest.mark.parametrize(
    ("resource", "fit"),
    [
        (node(2), True),
        (node(3), False),
        (node(2, cores(4)), True),
        (node(1, cores(5)), False),  # 8 in all, but no node has 5
        (node(2, cores(4), {"type": "gpu", "count": 1}), True),
        (node(2, cores(4), {"type": "gpu", "count": 2}), False),
        (cores(8), True),
        (cores(9), False),
        ({"type": "gpu", "count": 2}, True),
        ({"type": "fpga", "count": 1}, False),
        ({"type": "cluster", "count": 1, "with": [node(2, cores(4))]}, True),
        (node(None, cores(2), replicas=4), True),  # two slots on each node
        (node(None, cores(2), replicas=5), False),
        (node(None, cores(3), replicas=2), True),
        (node(None, cores(3), replicas=3), False),  # 8 cores, but only one slot a node
        (node(None, cores(1), {"type": "gpu", "count": 1}, replicas=3), False),
        (node(1, cores(2), replicas=3), False),  # counted nodes are not shared
        (node(None, replicas=2), True),
        (node(None, replicas=3), False),
        ({"type": "slot", "replicas": 4, "with": [cores(2)]}, True),
        ({"type": "slot", "count": 2, "with": [cores(3)]}, True),
        ({"type": "slot", "count": 1, "with": [cores(5)]}, False),  # a slot is on one node
        ({"type": "slot", "count": 1, "with": [node(2, cores(4))]}, True),
        (node(1, {"type": "slot", "count": 2, "with": [cores(2)]}), True),
        (node(1, {"type": "slot", "count": 2, "with": [cores(3)]}), False),
        ({"type": "rack", "replicas": 1, "with": [node(2, cores(4))]}, True),  # no racks here
        ({"type": "rack", "replicas": 1, "with": [node(3)]}, False),
        ({"type": "rack", "count": 1, "with": [node(1)]}, False),  # a rack is asked for
        ({"type": "rack", "replicas": 1, "with": [cores(5)]}, False),  # a slot is on one node
        (node(1, cores(2), cores(2)), True),  # two entries of one type add up
        (node(1, cores(2), cores(3)), False),
        (node(1, cores(10**9)), False),
        (node(10**9), False),
        ({"type": "core"}, True),  # no count is one
        ({"type": "core", "count": 0}, True),
    ],
)
def test_two_nodes_of_four_cores_and_a_gpu(resource: Resource, fit: bool) -> None:
    """What such a cluster can hold, and what it cannot."""
    assert fits(plain(2, 4, 1), resource) is fit


def test_counted_racks_are_racks() -> None:
    """Nodes are found below racks; only a rack that is counted keeps its nodes together."""
    cluster = tree(
        ("0", "rack1"), ("0", "rack2"), ("rack1", "node1"), ("rack1", "node2"), ("rack2", "node3")
    )
    assert fits(cluster, node(3))
    assert fits(cluster, {"type": "rack", "count": 1, "with": [node(2)]})
    assert not fits(cluster, {"type": "rack", "count": 2, "with": [node(2)]})
    assert fits(cluster, {"type": "rack", "replicas": 1, "with": [node(3)]})
    assert not fits(cluster, {"type": "rack", "replicas": 1, "with": [node(4)]})


def test_sizes_count() -> None:
    """One vertex of size 8 is eight cores; of size 0, none."""
    cluster = tree(("0", "node1"), ("node1", "core1"), ("node1", "gpu1"), core1=8, gpu1=0)
    assert fits(cluster, node(1, cores(8)))
    assert not fits(cluster, node(1, cores(9)))
    assert fits(cluster, node(None, cores(4), replicas=2))
    assert not fits(cluster, node(1, {"type": "gpu", "count": 1}))


def test_a_pool_of_nodes_shares_what_is_below_it() -> None:
    """Two nodes in one vertex with 6 cores below: two nodes of 3 fit, of 4 do not."""
    cluster = tree(("0", "node1"), ("node1", "core1"), node1=2, core1=6)
    assert fits(cluster, node(2, cores(3)))
    assert not fits(cluster, node(2, cores(4)))
    assert fits(cluster, node(1, cores(4)))


def test_each_named_resource_is_counted_alone() -> None:
    """Tasks of different resources may run one after the other; each must fit by itself."""
    cluster = plain(2, 4)
    assert fits(cluster, node(2), node(2, cores(4)))
    assert not fits(cluster, node(2), node(3))


def test_only_scheduled_resources_count_when_any_is_marked() -> None:
    """`schedule: true` says which resources rainbow should look at."""
    assert fits(plain(2), node(1, schedule=True), node(99))
    assert not fits(plain(2), node(1), node(99, schedule=False))


def test_nothing_asked_matches_everything() -> None:
    """A jobspec without resources fits, also into a graph without a root."""
    rootless = parse_cluster(make_graph().replace('"0"', '"root"'))
    assert fits(rootless)
    assert not fits(rootless, node(1))


def test_what_two_contain_is_there_once() -> None:
    """A vertex with two parents, and a circle, are not counted twice and do not hang."""
    cluster = tree(
        ("0", "node1"), ("0", "node2"), ("node1", "core1"), ("node2", "core1"), ("core1", "node1")
    )
    assert fits(cluster, cores(1))
    assert not fits(cluster, cores(2))


def load(graphs: Graphs, name: str, nodes: int = 2) -> None:
    graphs.load(name, parse_cluster(make_graph(nodes)))


def with_offers(*vertices: dict[str, str], nodes: int = 2) -> Graphs:
    """A cluster `c` whose subsystem `spack` has these vertices on its first node only."""
    graphs = Graphs()
    load(graphs, "c", nodes)
    members = {f"s{i}": {"metadata": elements} for i, elements in enumerate(vertices)}
    edges = [{"source": "node0", "target": s, "relation": "contains"} for s in members]
    graphs.add_subsystem("c", "spack", json.dumps({"graph": {"nodes": members, "edges": edges}}))
    return graphs


def found(graphs: Graphs, resource: Resource) -> bool:
    asked = request.parse(json.dumps({"resources": {"r": resource}}))
    return matching(graphs.snapshot(), asked) == ["c"]


def need(field: str, **more: str) -> Resource:
    return {"name": "spack", "field": field, **more}


def test_any_vertex_of_a_subsystem_may_meet_a_requirement() -> None:
    """One vertex a package: each requirement finds its own, in any order."""
    graphs = with_offers(
        {"name": "ior", "version": "3.3.0"}, {"name": "lammps", "version": "1.0.0"}
    )
    both = [need("name", match="lammps"), need("name", match="ior")]
    assert found(graphs, node(1, requires=both))
    assert not found(graphs, node(1, requires=[*both, need("name", match="gcc")]))


def test_every_requirement_counts() -> None:
    """Two of the same subsystem, one met and one not: no match, whichever comes last."""
    graphs = with_offers({"ior": "3.3.0"})
    met, unmet = need("ior", match="3.3.0"), need("ior", min="4.0.0")
    assert found(graphs, node(1, requires=[met]))
    assert not found(graphs, node(1, requires=[met, unmet]))
    assert not found(graphs, node(1, requires=[unmet, met]))


def test_only_nodes_that_meet_the_requirement_count() -> None:
    """One of two nodes has it: enough for one node, not for two; and it is not spent on another."""
    graphs = with_offers({"ior": "3.3.0"})
    picky = node(1, cores(4), requires=[need("ior", match="3.3.0")])
    assert found(graphs, picky)
    assert not found(graphs, {**picky, "count": 2})
    assert found(graphs, {"type": "cluster", "with": [node(1), picky]})
    assert not found(graphs, {"type": "cluster", "with": [node(2), picky]})


def test_a_requirement_on_a_slot_needs_a_vertex() -> None:
    """What asks for something of a slot or a rack that is not there finds nothing."""
    graphs = with_offers({"ior": "3.3.0"})
    wanted = {"requires": [need("ior", match="3.3.0")], "replicas": 1, "with": [cores(1)]}
    assert found(graphs, {"type": "node", **wanted})
    assert not found(graphs, {"type": "slot", **wanted})


def test_an_entry_that_asks_nothing_is_skipped() -> None:
    """As the real server does: without a name, a field or anything to compare."""
    graphs = with_offers({"ior": "3.3.0"})
    entries = [{"field": "ior", "match": "x"}, {"name": "spack"}, need("ior")]
    assert found(graphs, node(2, requires=entries))


def test_elements_that_are_not_text_are_compared_as_json() -> None:
    """A number or a boolean in the metadata meets its text, and crashes nothing."""
    graphs = Graphs()
    load(graphs, "c")
    body = json.loads(make_subsystem("spack", {}))
    body["graph"]["nodes"]["spack0"]["metadata"] |= {
        "count": 3,
        "gpu": True,
        "odd": [1],
        "no": None,
    }
    graphs.add_subsystem("c", "spack", json.dumps(body))
    assert found(graphs, node(1, requires=[need("count", match="3"), need("gpu", match="true")]))
    assert not found(graphs, node(1, requires=[need("no", min="1")]))


def test_a_deleted_subsystem_offers_nothing() -> None:
    """What it offered is gone with it."""
    graphs = with_offers({"ior": "3.3.0"})
    graphs.remove_subsystem("c", "spack")
    assert not found(graphs, node(1, requires=[need("ior", match="3.3.0")]))


@settings(deadline=None)  # the machine may be busy, and this is not about time
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.integers(1, 7), st.booleans())
def test_counting_agrees_with_arithmetic(
    nodes: int, per_node: int, count: int, wanted: int, shared: bool
) -> None:
    """For equal nodes the answer is known: count by division."""
    cluster = plain(nodes, per_node)
    asked = node(None if shared else count, cores(wanted))
    if shared:
        asked["replicas"] = count
        expected = count <= nodes * (per_node // wanted)
    else:
        expected = count <= nodes and wanted <= per_node
    assert fits(cluster, asked) is expected


@settings(deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=6), st.integers(1, 4), st.integers(1, 6))
def test_more_resources_never_fit_less(sizes: list[int], wanted: int, count: int) -> None:
    """A cluster with one node more holds all that it held before."""

    def uneven(numbers: list[int]) -> Cluster:
        edges = [("0", f"node{i}") for i in range(len(numbers))]
        edges += [(f"node{i}", f"core{i}0{c}") for i, n in enumerate(numbers) for c in range(n)]
        return tree(*edges)

    asked = node(None, cores(wanted), replicas=count)
    assert fits(uneven(sizes), asked) is (count <= sum(n // wanted for n in sizes))
    assert fits(uneven([*sizes, 4]), asked) or not fits(uneven(sizes), asked)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"resources": [1]}',
        '{"resources": {"r": 1}}',
        '{"resources": {"r": {"type": 5}}}',
        '{"resources": {"r": {"type": "node", "count": "1"}}}',
        '{"resources": {"r": {"type": "node", "count": true}}}',
        '{"resources": {"r": {"type": "node", "count": -1}}}',
        '{"resources": {"r": {"type": "node", "with": {}, "replicas": 1.5}}}',
        '{"resources": {"r": {"type": "node", "requires": ["x"]}}}',
        '{"resources": {"r": ' + '{"with": [' * 50 + "]}" * 50 + "}}",
        "[" * 100_000,
    ],
    ids=range(12),
)
def test_what_is_no_jobspec_is_refused(text: str) -> None:
    """A request of the wrong shape is a refusal, never a crash."""
    with pytest.raises(Failure):
        request.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"graph": []}',
        '{"graph": {"nodes": {}, "edges": []}}',
        '{"graph": {"nodes": {"0": {}}, "edges": []}}',
        make_graph().replace('"target": "node0"', '"target": "gone"'),
        make_graph().replace('"size": 1', '"size": "one"'),
        make_graph().replace('"size": 1', '"size": Infinity'),
        make_graph().replace('"size": 1', '"size": 1e999'),
        make_graph().replace('{"type": "core", "size": 1}', "[1]"),
        "[" * 100_000,
    ],
    ids=range(12),
)
def test_what_is_no_graph_is_refused(text: str) -> None:
    """A graph of the wrong shape is a refusal, never a crash."""
    with pytest.raises(Failure):
        parse_cluster(text)


def test_a_chain_without_end_is_refused() -> None:
    """Ten thousand levels of containment are not walked."""
    with pytest.raises(Failure, match="levels"):
        tree(("0", "a1"), *((f"a{i}", f"a{i + 1}") for i in range(1, 10_000)))


@pytest.mark.parametrize(
    ("version", "low", "high", "inside"),
    [
        ("3.3.0", "3.0.0", "4.0.0", True),
        ("3.3.0", "3.3.0", "3.3.0", True),
        ("3.3.0", "3.3.1", "", False),
        ("3.3.0", "", "3.2.9", False),
        ("3.10.0", "3.9.0", "", True),
        ("3.10.0", "", "3.9.0", False),
        ("v1.2", "1.2.0", "1.2.0", True),
        ("4.9.1", "", "4", True),
        ("4.9.1", "", "4.8", False),
        ("5.0.0", "", "4", False),
        ("2024.05.11", "2024.5.1", "2024.6.0", True),
        ("1.2.3.4", "1.0.0", "", False),
        ("word", "1.0.0", "", False),
        ("", "1.0.0", "", False),
        ("1.0.0", "word", "", False),
        ("2.0.0-rc.1", "1.0.0", "", False),
        ("2.0.0-rc.1", "2.0.0-beta", "2.0.0-rc.2", True),
        ("2.0.0-rc.10", "2.0.0-rc.9", "", True),
        ("2.0.0", "2.0.0-rc.1", "", True),
        ("2.0.0-alpha", "2.0.0-1", "", True),
        ("1.0.0+build", "1.0.0", "1.0.0", True),
    ],
)
def test_versions(version: str, low: str, high: str, inside: bool) -> None:
    """Ranges as Masterminds/semver has them, which the real server uses."""
    assert requirements.within(version, low, high) is inside
