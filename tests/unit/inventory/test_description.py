"""From what nodes said and what can be scheduled to what rainbow gets."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rainbow_agent.core.errors import NotDescribed
from rainbow_agent.inventory.description import Sendable, describe_cluster, site_of
from rainbow_agent.inventory.survey import NodeAnswer
from support.nodes import FakeExtractor, changed, node_json, survey_of, views


def vertices(part: Sendable) -> dict[str, dict[str, Any]]:
    nodes = json.loads(part.text)["graph"]["nodes"]
    return {id_: vertex["metadata"] for id_, vertex in nodes.items()}


def types(part: Sendable) -> dict[str, int]:
    found = [metadata["type"] for metadata in vertices(part).values()]
    return {name: found.count(name) for name in sorted(set(found))}


def test_the_graph_has_what_can_be_scheduled() -> None:
    """Cores and GPUs are the workload manager's, by their ids; the sockets are the node's own."""
    nodes = changed(views(2, gpus=1), 1, cores=2, core_ids=(1, 3), gpus=0, gpu_ids=())
    graph = describe_cluster("blue", survey_of(nodes)).graph
    assert types(graph) == {"cluster": 1, "core": 6, "gpu": 1, "node": 2, "socket": 2}
    cores = [m for m in vertices(graph).values() if m["type"] == "core" and m["rank"] == 1]
    assert [core["id"] for core in cores] == [1, 3]


def test_the_sites_racks_are_in_the_graph() -> None:
    """A rack with its nodes, where the site says where they are."""
    racks = {"blue-0": "r1", "blue-1": "r1"}
    graph = describe_cluster("blue", survey_of(views(3)), lambda name: racks.get(name, "")).graph
    found = vertices(graph)
    (rack,) = (id_ for id_, metadata in found.items() if metadata["type"] == "rack")
    edges = {(e["source"], e["target"]) for e in json.loads(graph.text)["graph"]["edges"]}
    assert {("0", rack), (rack, "1"), (rack, "2"), ("0", "3")} <= edges


def test_who_is_down_or_silent_is_left_out() -> None:
    """A node keeps its id, so that the others' do not move."""
    ranks = FakeExtractor()
    ranks.answers[2] = NodeAnswer(2, problem="no answer", silent=True)
    nodes = changed(views(4), 0, up=False)
    description = describe_cluster("blue", survey_of(nodes, extractor=ranks))
    assert [id_ for id_, m in vertices(description.graph).items() if m["type"] == "node"] == [
        "2",
        "4",
    ]


def test_who_is_drained_or_not_described_stays() -> None:
    """Without description there are cores, but no socket and no subsystem."""
    ranks = FakeExtractor()
    ranks.answers[1] = NodeAnswer(1, problem="no such file")
    nodes = changed(views(2), 0, up=False, drained=True)
    description = describe_cluster("blue", survey_of(nodes, extractor=ranks))
    assert types(description.graph) == {"cluster": 1, "core": 8, "node": 2, "socket": 1}
    for part in description.subsystems:
        edges = json.loads(part.text)["graph"]["edges"]
        assert {edge["source"] for edge in edges} == {"1"}


def test_only_subsystems_that_say_something_are_there() -> None:
    """Spack comes with the first package; no MPI is known."""
    without = {part.name for part in describe_cluster("blue", survey_of(views(1))).subsystems}
    with_ior = {
        p.name
        for p in describe_cluster("blue", survey_of(views(1), packages=["ior@3.3.0"])).subsystems
    }
    assert with_ior - without == {"spack"}
    assert "mpi" not in with_ior


def test_equal_nodes_share_one_vertex_that_can_be_replaced() -> None:
    """Its anchors change with the nodes that it hangs on, not with what it says."""

    def spack(nodes: int, package: str) -> Sendable:
        description = describe_cluster("blue", survey_of(views(nodes), packages=[package]))
        return next(part for part in description.subsystems if part.name == "spack")

    one, other, larger = spack(3, "ior@3.3.0"), spack(3, "ior@4.0.0"), spack(4, "ior@3.3.0")
    assert types(one) == {"spack": 1}
    assert one.anchors == other.anchors is not None
    assert one.digest != other.digest
    assert larger.anchors != one.anchors


def test_nodes_that_differ_have_no_anchors() -> None:
    """Which vertex takes which one's place on the server would be chance."""
    ranks = FakeExtractor()
    ranks.answers[1] = NodeAnswer(1, node_json("blue-1", packages=["ior@3.3.0"]))
    ranks.packages = ("ior@4.0.0",)
    description = describe_cluster("blue", survey_of(views(2), extractor=ranks))
    spack = next(part for part in description.subsystems if part.name == "spack")
    assert types(spack) == {"spack": 2}
    assert spack.anchors is None


def test_the_same_cluster_gives_the_same_text() -> None:
    """Or every start would send everything again."""
    first, second = (
        describe_cluster("blue", survey_of(views(3), packages=["a@1", "b@2"])) for _ in "12"
    )
    assert first.graph == second.graph
    assert first.subsystems == second.subsystems


def test_memory_is_that_of_the_smallest_node() -> None:
    """A job that asks for it may land on any of them."""
    ranks = FakeExtractor()
    ranks.answers[1] = NodeAnswer(1, node_json("blue-1", memory=4))
    assert (
        describe_cluster("blue", survey_of(views(2), extractor=ranks)).memory_per_node == 4 * 2**30
    )


def test_no_node_at_all_is_no_cluster_yet() -> None:
    """Not an empty graph: the server would take the name and refuse the rest."""
    with pytest.raises(NotDescribed, match="no node that is up"):
        describe_cluster("blue", survey_of(changed(views(1), 0, up=False)))


def test_the_site_has_every_node_with_what_it_says() -> None:
    """Equal nodes share it; one that is silent is there with nothing, and none is left out."""
    ranks = FakeExtractor()
    ranks.answers[3] = NodeAnswer(3, problem="no answer", silent=True)
    nodes = changed(views(4, gpus=1), 2, drained=True, up=False)
    survey = survey_of(nodes, packages=["ior@3.3.0", "ior@4.0.0", "zlib@1.3"], extractor=ranks)
    own = {"environment-modules": ({"type": "module"},)}
    site = site_of(survey, own)
    assert site.everywhere is own
    assert [(n.rank, n.name, n.size, n.up) for n in site.nodes] == [
        (0, "blue-0", (4, 1), True),
        (1, "blue-1", (4, 1), True),
        (2, "blue-2", (4, 1), False),
        (3, "blue-3", (4, 1), True),
    ]
    first, second, _, silent = site.nodes
    assert first.traits is not None
    assert first.traits is second.traits
    assert silent.traits is None
    spack, *packages = first.traits["spack"]
    assert (spack["ior"], spack["zlib"], spack["ior@3.3.0"]) == (
        ("3.3.0", "4.0.0"),
        ("1.3",),
        "yes",
    )
    assert {(p["name"], p["version"]) for p in packages} == {
        ("ior", "3.3.0"),
        ("ior", "4.0.0"),
        ("zlib", "1.3"),
    }
    assert first.traits["system"][0]["cpu.target"] == "amd64"
