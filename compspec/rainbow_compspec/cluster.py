"""The cluster graph: cluster, node, socket, core; a GPU under its socket, or under its node.

Where the site says which rack a node is in, racks stand between the cluster and the nodes.

Ids: the cluster is "0"; a node is 1 + its rank (its position, when ranks are not known), so that it
keeps its id when other nodes come and go; what is in the nodes follows after the last node, and
then come the racks.
Metadata are those that fluxion reads of a vertex (flux-sched, resource_reader_jgf.cpp); a node is
named by its hostname there, as it is here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Final

from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import Core, Gpu, NodeFacts
from rainbow_compspec.jgf import ROOT, Edge, Graph, Vertex

#: `Core.socket` of a core that can be scheduled but of which the hardware facts say nothing.
UNKNOWN_SOCKET: Final = -1


@dataclass(frozen=True, slots=True)
class Part:
    """Something inside a node."""

    type: str
    number: int  # on this node, by its type
    parent: int | None  # its place in the shape; None: the node itself
    path: str  # from the node: socket0/core1
    extra: Mapping[str, str] = field(default_factory=dict)  # more metadata


@dataclass(frozen=True, slots=True)
class Shape:
    """What is inside a node, parents first; nodes of one kind share it."""

    parts: tuple[Part, ...]
    counts: Mapping[str, int]  # parts a type


@dataclass(frozen=True)
class ClusterGraph(Graph):
    """A cluster and its nodes; the vertices inside them are made when they are asked for."""

    cluster: str
    nodes: tuple[NodeFacts, ...]
    node_ids: tuple[str, ...]  # of `nodes`, one by one
    shapes: tuple[Shape, ...]  # of `nodes`, one by one

    def __len__(self) -> int:
        inside = sum(len(shape.parts) for shape in self.shapes)
        return 1 + len(self.racks) + len(self.nodes) + inside

    def counts(self) -> dict[str, int]:
        """The sum of sizes a type; every vertex here has size 1."""
        totals = Counter({"cluster": 1, "rack": len(self.racks), "node": len(self.nodes)})
        for shape in self.shapes:
            totals.update(shape.counts)
        return {type_: count for type_, count in totals.items() if count}

    @cached_property
    def racks(self) -> Mapping[str, str]:
        """The racks' ids by their names; empty where none is known."""
        first = max(map(int, self.node_ids), default=0) + 1
        first += sum(len(shape.parts) for shape in self.shapes)
        names = sorted({facts.rack for facts in self.nodes if facts.rack})
        return {name: str(first + place) for place, name in enumerate(names)}

    def vertices(self) -> Iterator[Vertex]:
        """The cluster, its racks, its nodes, then what is in them, node by node."""
        top = f"/{self.cluster}0"
        yield _vertex(0, "cluster", 0, rank=-1, path=top, basename=self.cluster)
        for number, (name, rack) in enumerate(self.racks.items()):
            named = {"name": name}
            yield _vertex(int(rack), "rack", number, rank=-1, path=f"{top}/{name}", extra=named)
        paths = _node_paths(top, self.nodes)
        for facts, id_, path in zip(self.nodes, self.node_ids, paths, strict=True):
            yield _node_vertex(facts, int(id_), path)
        for facts, id_, path, shape, first in zip(
            self.nodes, self.node_ids, paths, self.shapes, self._starts(), strict=True
        ):
            rank = _rank(facts, int(id_))
            for place, part in enumerate(shape.parts, first):
                yield _vertex(
                    place,
                    part.type,
                    part.number,
                    rank=rank,
                    path=f"{path}/{part.path}",
                    extra=part.extra,
                )

    def edges(self) -> Iterator[Edge]:
        """From the cluster to its racks and nodes, then within the nodes, node by node."""
        yield from self.edges_above()
        for id_, shape, first in zip(self.node_ids, self.shapes, self._starts(), strict=True):
            for place, part in enumerate(shape.parts, first):
                yield Edge(id_ if part.parent is None else str(first + part.parent), str(place))

    def edges_above(self) -> Iterator[Edge]:
        """Those that lead down to the nodes."""
        for rack in self.racks.values():
            yield Edge(ROOT, rack)
        for facts, id_ in zip(self.nodes, self.node_ids, strict=True):
            yield Edge(self.racks.get(facts.rack, ROOT), id_)

    def _starts(self) -> Iterator[int]:
        """The id of the first part in each node."""
        after_nodes = max(map(int, self.node_ids), default=0) + 1
        sizes = [len(shape.parts) for shape in self.shapes]
        return iter([*accumulate(sizes, initial=after_nodes)][:-1])


def cluster_graph(cluster: str, nodes: Sequence[NodeFacts]) -> ClusterGraph:
    """The graph of a cluster.

    Args:
        cluster: its name.
        nodes: its nodes; either all of them have a rank or none has.

    Raises:
        CompspecError: no nodes, ranks that are there twice, or ranks on some nodes only.
    """
    if not nodes:
        raise CompspecError(f"cluster {cluster} has no nodes, so there is nothing to describe")
    return ClusterGraph(cluster, tuple(nodes), _node_ids(nodes), _shapes(nodes))


def _node_ids(nodes: Sequence[NodeFacts]) -> tuple[str, ...]:
    ranks = [facts.rank for facts in nodes if facts.rank is not None]
    if not ranks:
        return tuple(str(place) for place in range(1, len(nodes) + 1))
    if len(ranks) != len(nodes):
        missing = next(facts.name for facts in nodes if facts.rank is None)
        raise CompspecError(f"node {missing} has no rank, but others have; give all or none")
    twice = [rank for rank, count in Counter(ranks).items() if count > 1]
    if twice:
        raise CompspecError(f"rank {twice[0]} belongs to two nodes; every node has its own")
    return tuple(str(rank + 1) for rank in ranks)


def _shapes(nodes: Sequence[NodeFacts]) -> tuple[Shape, ...]:
    """One shape a node; equal ones are the same object.

    Nodes that share their tuples (nodedir, simulate) are recognised by identity, which costs
    nothing; the others by value.
    """
    by_identity: dict[tuple[int, int], Shape] = {}
    by_value: dict[tuple[tuple[Core, ...], tuple[Gpu, ...]], Shape] = {}
    found = []
    for facts in nodes:
        identity = (id(facts.cores), id(facts.gpus))
        if identity not in by_identity:
            value = (facts.cores, tuple(_kind(gpu) for gpu in facts.gpus))
            if value not in by_value:
                by_value[value] = _shape(*value)
            by_identity[identity] = by_value[value]
        found.append(by_identity[identity])
    return tuple(found)


def _kind(gpu: Gpu) -> Gpu:
    """The GPU without what only it has, so that nodes of one kind are equal."""
    return replace(gpu, uuid="", pci="", card="")


def _shape(cores: tuple[Core, ...], gpus: tuple[Gpu, ...]) -> Shape:
    numbers = sorted({core.socket for core in cores} - {UNKNOWN_SOCKET})
    parts = [Part("socket", number, None, f"socket{number}") for number in numbers]
    places = {number: place for place, number in enumerate(numbers)}
    socket_of = {core.numa: core.socket for core in cores if core.numa is not None}
    parts += [_part("core", core.id, places.get(core.socket), core.socket) for core in cores]
    for gpu in gpus:
        socket = UNKNOWN_SOCKET if gpu.numa is None else socket_of.get(gpu.numa, UNKNOWN_SOCKET)
        extra = {"vendor": gpu.vendor, "model": gpu.model}
        known = {name: value for name, value in extra.items() if value}
        parts.append(_part("gpu", gpu.index, places.get(socket), socket, known))
    return Shape(tuple(parts), Counter(part.type for part in parts))


def _part(
    type_: str, number: int, parent: int | None, socket: int, extra: Mapping[str, str] | None = None
) -> Part:
    name = f"{type_}{number}"
    return Part(
        type_, number, parent, name if parent is None else f"socket{socket}/{name}", extra or {}
    )


def _node_paths(top: str, nodes: Sequence[NodeFacts]) -> list[str]:
    """Each node's path. Brokers of one host (a test instance) share its name: later ones add -N."""
    later: Counter[str] = Counter()
    used = {facts.rack for facts in nodes}
    paths = []
    for facts in nodes:
        name = facts.name
        while name in used:
            later[facts.name] += 1
            name = f"{facts.name}-{later[facts.name]}"
        used.add(name)
        paths.append(f"{top}/{facts.rack}/{name}" if facts.rack else f"{top}/{name}")
    return paths


def _rank(facts: NodeFacts, node_id: int) -> int:
    return node_id - 1 if facts.rank is None else facts.rank


def _node_vertex(facts: NodeFacts, id_: int, path: str) -> Vertex:
    rank = _rank(facts, id_)
    return _vertex(id_, "node", rank, rank=rank, path=path, extra={"name": facts.name})


def _vertex(
    uniq_id: int,
    type_: str,
    number: int,
    *,
    rank: int,
    path: str,
    basename: str = "",
    extra: Mapping[str, str] | None = None,
) -> Vertex:
    basename = basename or type_
    metadata: dict[str, Any] = {
        "type": type_,
        "basename": basename,
        "id": number,
        "name": f"{basename}{number}",
        "uniq_id": uniq_id,
        "rank": rank,
        "exclusive": False,
        "unit": "",
        "size": 1,
        "paths": {"containment": path},
        **(extra or {}),
    }
    return Vertex(str(uniq_id), metadata)
