"""A cluster graph reduced to what counts: the levels above the nodes, and sums within each node.

This is what is left to send when a vertex for every core does not fit into one message.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import singledispatch

from rainbow_compspec.cluster import ClusterGraph
from rainbow_compspec.jgf import ROOT, Edge, Graph, Vertex

NODE = "node"


@dataclass(frozen=True, slots=True)
class Kept:
    """A vertex that is sent as it is, with what it directly contains by type."""

    id: str
    type: str
    size: int
    within: Mapping[str, int]  # sums of sizes; empty above the nodes


@dataclass(frozen=True, slots=True)
class Outline:
    """The vertices down to the nodes, and the edges between them."""

    kept: tuple[Kept, ...]
    edges: tuple[Edge, ...]


@singledispatch
def outline(graph: Graph) -> Outline:
    """The outline of any cluster graph."""
    children: dict[str, list[str]] = {}
    for edge in graph.edges():
        children.setdefault(edge.source, []).append(edge.target)
    vertices = {vertex.id: vertex for vertex in graph.vertices()}
    nodes = {vertex.id for vertex in vertices.values() if vertex.type == NODE}
    below = {id_: _below(id_, children) for id_ in nodes}
    inside = set().union(*below.values()) if below else set()
    kept = [
        Kept(id_, vertex.type, vertex.size, _sums(vertices[part] for part in below.get(id_, ())))
        for id_, vertex in vertices.items()
        if id_ not in inside
    ]
    names = {vertex.id for vertex in kept}
    edges = (edge for edge in graph.edges() if edge.source in names and edge.target in names)
    return Outline(tuple(kept), tuple(edges))


@outline.register
def _(graph: ClusterGraph) -> Outline:
    nodes = [
        Kept(id_, NODE, 1, shape.counts)
        for id_, shape in zip(graph.node_ids, graph.shapes, strict=True)
    ]
    root = Kept(ROOT, "cluster", 1, {})
    racks = [Kept(id_, "rack", 1, {}) for id_ in graph.racks.values()]
    return Outline((root, *racks, *nodes), tuple(graph.edges_above()))


def _below(id_: str, children: Mapping[str, list[str]]) -> set[str]:
    found: set[str] = set()
    open_ = [id_]
    while open_:
        new = set(children.get(open_.pop(), ())) - found
        found |= new
        open_ += new
    return found


def _sums(vertices: Iterable[Vertex]) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for vertex in vertices:
        totals[vertex.type] += vertex.size
    return dict(sorted(totals.items()))
