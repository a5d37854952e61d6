"""A cluster graph as Fluxion's JGF reader takes it: `nodes` is a list, and racks are a level.

Source: flux-sched, resource/readers/resource_reader_jgf.cpp (0.54). What stands in a vertex is the
same as in the form for rainbow; a rack is named rack0, rack1, ... and has no rank. A slot directly
in a node, as `flux submit` asks for, is only found where cores and GPUs are directly in the node:
so sockets are left out unless somebody wants them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TextIO

from rainbow_compspec.cluster import ClusterGraph
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import NodeFacts
from rainbow_compspec.jgf import ROOT, Edge, ExplicitGraph, Graph, Vertex, quoted, to_json

_CONTAINMENT = "containment"
_SOCKET = "socket"


@dataclass(frozen=True)
class Racked(Graph):
    """A cluster whose nodes stand in racks.

    Args:
        graph: the cluster.
        rack_of: the rack of each node, by the node's place.
    """

    graph: ClusterGraph
    rack_of: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.graph) + len(set(self.rack_of))

    def vertices(self) -> Iterator[Vertex]:
        """The cluster, its racks, then the rest with paths that go through the racks."""
        vertices = self.graph.vertices()
        root = next(vertices)
        yield root
        top = _path(root)
        for rack, id_ in self._ids().items():
            yield _rack(rack, id_, top)
        racks: dict[str, int] = {}  # by the path of a node
        for place, vertex in enumerate(vertices):
            path = _path(vertex)
            if place < len(self.rack_of):
                racks[path] = self.rack_of[place]
            node = top + "/" + path[len(top) + 1 :].partition("/")[0]
            inside = f"{top}/rack{racks[node]}{path[len(top) :]}"
            yield replace(vertex, metadata={**vertex.metadata, "paths": {_CONTAINMENT: inside}})

    def edges(self) -> Iterator[Edge]:
        """From the cluster to its racks, from these to their nodes, then within the nodes."""
        ids = {rack: str(id_) for rack, id_ in self._ids().items()}
        for id_ in ids.values():
            yield Edge(ROOT, id_)
        for place, edge in enumerate(self.graph.edges()):
            if place < len(self.rack_of):
                yield Edge(ids[self.rack_of[place]], edge.target)
            else:
                yield edge

    def _ids(self) -> dict[int, int]:
        """The ids of the racks, after all others."""
        last = max(map(int, self.graph.node_ids)) + sum(
            len(shape.parts) for shape in self.graph.shapes
        )
        return {rack: last + n for n, rack in enumerate(sorted(set(self.rack_of)), 1)}


@dataclass(frozen=True)
class WithoutSockets(Graph):
    """The same graph with what is in a socket directly in its node."""

    graph: Graph

    def __len__(self) -> int:
        return len(self.graph) - self.graph.counts().get(_SOCKET, 0)

    def vertices(self) -> Iterator[Vertex]:
        """All but the sockets."""
        for vertex in self.graph.vertices():
            if vertex.type != _SOCKET:
                path = re.sub(r"/socket\d+(?=/)", "", _path(vertex))
                paths = {"paths": {_CONTAINMENT: path}}
                yield replace(vertex, metadata={**vertex.metadata, **paths})

    def edges(self) -> Iterator[Edge]:
        """Those of a socket's parts begin at its node; a socket's own edge comes before them."""
        sockets = {vertex.id for vertex in self.graph.vertices() if vertex.type == _SOCKET}
        node_of: dict[str, str] = {}
        for edge in self.graph.edges():
            if edge.target in sockets:
                node_of[edge.target] = edge.source
            else:
                yield Edge(node_of.get(edge.source, edge.source), edge.target)


def in_racks(graph: ClusterGraph, nodes_per_rack: int) -> Graph:
    """The same cluster with so many nodes in each rack, in their order; 0: without racks.

    Raises:
        CompspecError: a negative number.
    """
    if nodes_per_rack < 0:
        raise CompspecError(f"{nodes_per_rack} nodes in a rack: give 1 or more, or 0 for no racks")
    if not nodes_per_rack:
        return graph
    return Racked(graph, tuple(n // nodes_per_rack for n in range(len(graph.nodes))))


def software_tree(cluster: str, nodes: Sequence[NodeFacts]) -> Graph:
    """What is installed on the nodes, as a graph of its own: each package is a type.

    Such a graph is only asked whether something is there. A package of several versions stands
    there once, with all of them in its properties.

    Raises:
        CompspecError: there are none.
    """
    versions: dict[str, set[str]] = {}
    for packages in {id(facts.packages): facts.packages for facts in nodes}.values():
        for package in packages:
            versions.setdefault(package.name, set()).add(package.version)
    if not versions:
        raise CompspecError("no node has any package, so there is no tree of them")
    top = f"/{cluster}"
    vertices = [_plain(0, ("cluster", 0), cluster, top)]
    for number, name in enumerate(sorted(versions), 1):
        found = {"versions": " ".join(sorted(versions[name]))}
        vertices.append(_plain(number, (name, number), name, f"{top}/{name}", properties=found))
    links = tuple(Edge(ROOT, vertex.id) for vertex in vertices[1:])
    return ExplicitGraph({vertex.id: vertex for vertex in vertices}, links)


def write(graph: Graph, stream: TextIO) -> None:
    """Write it, one vertex or edge a line, without holding it in memory."""
    stream.write('{"graph":{"nodes":[\n')
    stream.writelines(_separated(map(_vertex, graph.vertices())))
    stream.write('],"edges":[\n')
    stream.writelines(_separated(map(_edge, graph.edges())))
    stream.write("]}}\n")


def _separated(parts: Iterator[str]) -> Iterator[str]:
    lead = ""
    for part in parts:
        yield f"{lead}{part}\n"
        lead = ","


def _vertex(vertex: Vertex) -> str:
    return f'{{"id":{quoted(vertex.id)},"metadata":{to_json(vertex.metadata)}}}'


def _edge(edge: Edge) -> str:
    of = f'"source":{quoted(edge.source)},"target":{quoted(edge.target)}'
    return f'{{{of},"metadata":{{"subsystem":"{_CONTAINMENT}"}}}}'


def _path(vertex: Vertex) -> str:
    return str(vertex.metadata["paths"][_CONTAINMENT])


def _rack(number: int, uniq_id: int, top: str) -> Vertex:
    name = f"rack{number}"
    return _plain(uniq_id, ("rack", number), name, f"{top}/{name}")


def _plain(
    uniq_id: int, place: tuple[str, int], name: str, path: str, **more: Mapping[str, str]
) -> Vertex:
    """A vertex that is of no rank."""
    type_, number = place
    metadata: dict[str, Any] = {
        "type": type_,
        "basename": type_,
        "id": number,
        "name": name,
        "uniq_id": uniq_id,
        "rank": -1,
        "exclusive": False,
        "unit": "",
        "size": 1,
        "paths": {_CONTAINMENT: path},
    }
    return Vertex(str(uniq_id), metadata | more)
