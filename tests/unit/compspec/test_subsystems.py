"""Subsystems: one vertex a node, one string element an attribute."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_compspec import jgf
from rainbow_compspec.cluster import cluster_graph
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import Gpu, NodeFacts, Package
from rainbow_compspec.jgf import Edge
from rainbow_compspec.jgf_read import parse_subsystem
from rainbow_compspec.subsystems import SUBSYSTEMS, SubsystemGraph, subsystem_graph
from rainbow_compspec.versions import newest
from rainbow_compspec.wire import Form, encode
from support.compspec_facts import machines


def _graph(name: str, *nodes: NodeFacts) -> SubsystemGraph:
    return subsystem_graph(name, nodes, cluster_graph("blue", nodes).node_ids)


def _attributes(name: str, node: NodeFacts) -> dict[str, Any]:
    """What the node's vertex says beside what it is."""
    (vertex,) = (v for v in _graph(name, node).vertices() if v.type == name)
    return {k: v for k, v in vertex.metadata.items() if k not in {"type", "basename", "name"}}


@given(machines(), st.sampled_from(list(SUBSYSTEMS)))
def test_a_node_has_one_vertex_of_strings(machine: tuple[NodeFacts, ...], name: str) -> None:
    """Several vertices make matches come and go; an element that is no string kills the server."""
    graph = _graph(name, *machine)
    vertices = {vertex.id: vertex for vertex in graph.vertices()}
    node_ids = cluster_graph("blue", machine).node_ids
    on_nodes = [edge for edge in graph.edges() if edge.source in node_ids]
    assert len({edge.source for edge in on_nodes}) == len(on_nodes)
    for edge in on_nodes:
        metadata = vertices[edge.target].metadata
        assert "size" not in metadata
        assert all(isinstance(value, str) and value for value in metadata.values())


@given(machines(), st.sampled_from(list(SUBSYSTEMS)))
def test_a_subsystem_hangs_together(machine: tuple[NodeFacts, ...], name: str) -> None:
    """Ids are unique, and every vertex can be reached from a node of the cluster."""
    graph = _graph(name, *machine)
    ids = [vertex.id for vertex in graph.vertices()]
    assert len(ids) == len(set(ids)) == len(graph)
    assert {edge.target for edge in graph.edges()} == set(ids)
    if not graph.empty:
        node_ids = cluster_graph("blue", machine).node_ids
        assert len(parse_subsystem(jgf.dumps(graph), node_ids)) == len(graph)


def test_spack_says_the_newest_version_and_each() -> None:
    """A range is compared with `ior`, `ior#2`, ...; `ior@3.2.1` asks for one of several."""
    packages = (
        Package("ior", "3.10.0", hash="a"),
        Package("ior", "3.9.0", hash="b", compiler="gcc@13.2.0", target="zen3"),
        Package("ior", "develop", hash="c"),
        Package("zlib-ng", "2.1.4", hash="d"),
        Package("tool", "main", hash="e"),
    )
    assert _attributes("spack", NodeFacts("blue-0", packages=packages)) == {
        "ior": "3.10.0",
        "ior#2": "3.9.0",
        "tool": "main",
        "tool@": "yes",
        "tool@main": "yes",
        "zlib-ng": "2.1.4",
        "ior@3.10.0": "yes",
        "ior@3.9.0": "yes",
        "ior@develop": "yes",
        "zlib-ng@2.1.4": "yes",
    }


def test_packages_stand_below_the_vertex() -> None:
    """For people and other tools: name, version, hash, compiler and target of each."""
    package = Package("ior", "3.9.0", hash="abc", compiler="gcc@13.2.0", target="zen3")
    graph = _graph("spack", NodeFacts("blue-0", packages=(package,)))
    _, below = graph.vertices()
    said = {key: below.metadata[key] for key in ("name", "version", "hash", "compiler", "target")}
    assert said == {
        "name": "ior",
        "version": "3.9.0",
        "hash": "abc",
        "compiler": "gcc@13.2.0",
        "target": "zen3",
    }
    assert list(graph.edges()) == [Edge("1", "spack1"), Edge("spack1", below.id)]


def test_a_package_may_not_be_called_size() -> None:
    """The server takes `size` of any vertex for a number, and ends when it is none."""
    packages = (Package("size", "1.0"), Package("ior", "3.3.0"))
    assert "size" not in _attributes("spack", NodeFacts("blue-0", packages=packages))


def test_names_in_use_upstream() -> None:
    """Jobs in the wild ask for these fields."""
    node = NodeFacts(
        "blue-0",
        arch="arm64",
        vendor="ARM",
        model="Neoverse-V1",
        target="neoverse_v1",
        gpus=(Gpu(0, "nvidia", "H100", memory=80 << 30), Gpu(1, "nvidia", "H100", memory=79 << 30)),
        memory=512 << 30,
        os={"name": "Debian GNU/Linux", "version": "12", "release": "12", "vendor": "debian"},
        mpi={"implementation": "openmpi", "version": "4.1.5"},
    )
    cpu = {"cpu.target": "arm64", "cpu.vendor": "ARM", "cpu.model": "Neoverse-V1"}
    assert _attributes("system", node) == cpu
    assert cpu.items() <= _attributes("io.archspec", node).items()
    assert _attributes("hardware", node) == {
        "hardware.gpu.available": "yes",
        "gpu.vendor": "nvidia",
        "gpu.model": "H100",
        "gpu.count": "2",
        "gpu.memory.gib": "79",
        "gpu.partitioned": "no",
        "memory.gib": "512",
    }
    assert _attributes("os", node) == {
        "os.name": "Debian GNU/Linux",
        "os.version": "12",
        "os.release": "12",
        "os.vendor": "debian",
    }
    assert _attributes("mpi", node) == {"mpi.implementation": "openmpi", "mpi.version": "4.1.5"}


def test_archspec_says_what_a_node_can_run() -> None:
    """A job built for an older microarchitecture matches by its name."""
    found = _attributes("io.archspec", NodeFacts("blue-0", arch="amd64", target="zen3"))
    assert found["cpu.microarchitecture"] == "zen3"
    assert {"zen3", "zen2", "x86_64_v3", "x86_64"} <= found.keys()
    assert "zen4" not in found


def test_a_node_without_gpu_says_so() -> None:
    """`no` is an answer that a job can ask for."""
    assert _attributes("hardware", NodeFacts("blue-0")) == {"hardware.gpu.available": "no"}


def test_a_node_of_which_nothing_is_known_is_left_out() -> None:
    """The others keep theirs, at the ids of the cluster graph."""
    graph = _graph("mpi", NodeFacts("blue-0"), NodeFacts("blue-1", mpi={"version": "5.0"}))
    assert list(graph.edges()) == [Edge("2", "mpi2")]
    assert _graph("mpi", NodeFacts("blue-0")).empty


def test_a_subsystem_that_there_is_not() -> None:
    """The message has the names that there are."""
    with pytest.raises(CompspecError, match=r"'nodes'; known are spack, system, io\.archspec"):
        _graph("nodes", NodeFacts("blue-0"))


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (["1.9", "1.10"], "1.10"),
        (["1.2", "1.2.1"], "1.2.1"),
        (["1.1.1w", "1.1.1k"], "1.1.1w"),
        (["1.a", "1.0"], "1.0"),
        (["develop", "0.1"], "0.1"),
        (["main", "develop"], "main"),
        (["2023.08.01", "2023.10.1"], "2023.10.1"),
    ],
)
def test_the_newest_version(versions: list[str], expected: str) -> None:
    """By number, not by text; a branch only where there is nothing else."""
    assert newest(versions) == newest(reversed(versions)) == expected


def test_a_subsystem_of_someone_else_is_made_safe() -> None:
    """Numbers on the vertex of a node are left out on the wire, since asking for one is fatal."""
    text = json.dumps(
        {
            "graph": {
                "nodes": {
                    "s": {"metadata": {"type": "io", "size": 4, "rank": 1, "io.kind": "nvme"}}
                },
                "edges": [{"source": "1", "target": "s", "relation": "contains"}],
            }
        }
    )
    sent = encode(parse_subsystem(text, ["0", "1"]))
    assert sent.form is Form.FULL
    assert json.loads(sent.text)["graph"]["nodes"]["s"]["metadata"] == {
        "type": "io",
        "io.kind": "nvme",
    }


def test_a_subsystem_that_no_node_has() -> None:
    """Rainbow would take it and never look at it."""
    text = '{"graph": {"nodes": {"s": {"metadata": {"type": "io"}}}, "edges": []}}'
    with pytest.raises(CompspecError, match="no edge starts at a vertex of the cluster"):
        parse_subsystem(text, ["0", "1"])
