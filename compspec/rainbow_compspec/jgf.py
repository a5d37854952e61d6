"""JSON Graph Format, version 2: vertices, edges, and the text that other programs read.

Source: https://jsongraphformat.info (`nodes` is an object by id) and the graphs that flux-sched and
rainbow read. A graph here keeps only its `contains` edges, each once; the opposite `in` edges,
which fluxion wants, follow from them and are written with the full form.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Any, Final, TextIO

#: The id that rainbow's search starts from (its vertex must be the cluster).
ROOT: Final = "0"
CONTAINS: Final = "contains"

#: json.dumps with everything set once; ASCII only, so characters and bytes are the same number.
to_json: Final[Callable[[object], str]] = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False
).encode
#: to_json for a string, without the detour.
quoted: Final[Callable[[str], str]] = encode_basestring_ascii


@dataclass(frozen=True, slots=True)
class Vertex:
    """A thing of a graph; `metadata` is what JGF says of it, `type` and `size` among it."""

    id: str
    metadata: Mapping[str, Any]

    @property
    def type(self) -> str:
        """What it is: cluster, node, core, gpu, ..."""
        return str(self.metadata.get("type", "resource"))

    @property
    def size(self) -> int:
        """How many units of its type it stands for; 1 unless it says otherwise."""
        return int(self.metadata.get("size", 1))


@dataclass(frozen=True, slots=True)
class Edge:
    """`source` contains `target`; both are ids of vertices."""

    source: str
    target: str


class Graph(ABC):
    """Vertices and the edges between them.

    A subsystem's graph also has edges that start at vertices of another graph (the cluster's). The
    parts come from iterators, so that a graph of a million cores need not lie in memory.
    """

    @abstractmethod
    def __len__(self) -> int:
        """How many vertices there are."""

    @abstractmethod
    def vertices(self) -> Iterator[Vertex]:
        """Every vertex once, those that contain others first."""

    @abstractmethod
    def edges(self) -> Iterator[Edge]:
        """Every `contains` edge once."""

    def counts(self) -> dict[str, int]:
        """The sum of sizes a type."""
        totals: Counter[str] = Counter()
        for vertex in self.vertices():
            totals[vertex.type] += vertex.size
        return dict(totals)


@dataclass(frozen=True)
class ExplicitGraph(Graph):
    """A graph that was given part by part, for example by a file."""

    by_id: Mapping[str, Vertex]
    links: tuple[Edge, ...]

    def __len__(self) -> int:
        return len(self.by_id)

    def vertices(self) -> Iterator[Vertex]:
        """Every vertex, as given."""
        return iter(self.by_id.values())

    def edges(self) -> Iterator[Edge]:
        """Every `contains` edge, as given."""
        return iter(self.links)


def frame(vertices: Iterable[str], edges: Iterable[str], gap: str = "") -> Iterator[str]:
    """The text of a graph from the texts of its parts.

    Args:
        vertices: members of `nodes`: `"id":{...}`.
        edges: elements of `edges`.
        gap: what stands before each part, for example a line break.
    """
    yield '{"graph":{"directed":true,"nodes":{'
    yield from _separated(vertices, gap)
    yield gap + '},"edges":['
    yield from _separated(edges, gap)
    yield gap + "]}}"


def _separated(parts: Iterable[str], gap: str) -> Iterator[str]:
    lead = gap
    for part in parts:
        yield lead + part
        lead = "," + gap


def full_parts(graph: Graph) -> tuple[Iterator[str], Iterator[str]]:
    """The texts of a graph's vertices and edges, with all that is known, for `frame`."""
    return map(_full_vertex, graph.vertices()), _both_ways(graph.edges())


def _full_vertex(vertex: Vertex) -> str:
    key = quoted(vertex.id)
    return f'{key}:{{"label":{key},"metadata":{to_json(vertex.metadata)}}}'


def _both_ways(edges: Iterable[Edge]) -> Iterator[str]:
    for edge in edges:
        source, target = quoted(edge.source), quoted(edge.target)
        yield f'{{"source":{source},"target":{target},"relation":"contains"}}'
        yield f'{{"source":{target},"target":{source},"relation":"in"}}'


def write(graph: Graph, stream: TextIO) -> None:
    """Write the full form, one vertex or edge a line, without holding it in memory."""
    stream.writelines(frame(*full_parts(graph), gap="\n"))
    stream.write("\n")


def dumps(graph: Graph) -> str:
    """The full form as one string."""
    return "".join(frame(*full_parts(graph)))
