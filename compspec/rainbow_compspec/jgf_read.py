"""Reading a graph that someone else wrote, and refusing what would hurt the one who gets it.

The checks follow from rainbow's server (plugins/backends/memory): it walks a graph without
remembering where it has been, so a cycle never ends; it starts at id "0"; it looks an edge's ends
up by id; and a `size` that is not a number, or a `type` that is not a string, ends its process.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from rainbow_compspec.errors import CompspecError
from rainbow_compspec.jgf import CONTAINS, ROOT, Edge, ExplicitGraph, Vertex

#: The server keeps sizes in 32 bits.
MAX_SIZE = 2**31 - 1


def load_cluster(path: Path) -> ExplicitGraph:
    """Read a cluster graph from a file.

    Raises:
        CompspecError: the file cannot be read, or is not a graph that rainbow can search.
    """
    try:
        return parse_cluster(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise CompspecError(f"{path}: cannot be read: {exc}") from exc
    except CompspecError as exc:
        raise CompspecError(f"{path}: {exc}") from exc


def parse_cluster(text: str) -> ExplicitGraph:
    """A cluster graph from its text.

    Raises:
        CompspecError: it is none; the message has the place.
    """
    graph = parse(text)
    if graph.by_id.get(ROOT) is None:
        raise CompspecError('there is no vertex "0"; the cluster itself must have this id')
    children = _children(graph.links)
    _require_acyclic(children)
    lost = graph.by_id.keys() - _reachable(children)
    if lost:
        raise CompspecError(
            f'{len(lost)} vertices are not under the cluster (vertex "0"), for example '
            f'"{min(lost)}"; every vertex needs a "contains" edge from its parent'
        )
    return graph


def parse_subsystem(text: str, cluster_ids: Collection[str]) -> ExplicitGraph:
    """A subsystem's graph from its text; edges may start at `cluster_ids`.

    Raises:
        CompspecError: it is none; the message has the place.
    """
    graph = parse(text, cluster_ids)
    if not any(edge.source not in graph.by_id for edge in graph.links):
        raise CompspecError(
            "no edge starts at a vertex of the cluster graph; rainbow never sees it"
        )
    _require_acyclic(_children(graph.links))
    return graph


def parse(text: str, outside: Collection[str] = ()) -> ExplicitGraph:
    """A graph from its text, `in` edges left out.

    Args:
        text: the file's content.
        outside: ids of another graph that edges may start at.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise CompspecError(f"not JSON: {exc}") from exc
    graph = document.get("graph") if isinstance(document, dict) else None
    if not isinstance(graph, dict):
        raise CompspecError('not a JSON Graph Format file: "graph" is missing or no object')
    nodes, edges = graph.get("nodes"), graph.get("edges")
    if not isinstance(nodes, dict):
        raise CompspecError(
            '"graph.nodes" is not an object keyed by id, as version 2 of the format requires'
        )
    if not isinstance(edges, list):
        raise CompspecError('"graph.edges" is missing or no list')
    vertices = {id_: Vertex(id_, _metadata(id_, node)) for id_, node in nodes.items()}
    sources = vertices.keys() | set(outside)
    links = [_edge(place, edge, sources, vertices) for place, edge in enumerate(edges)]
    return ExplicitGraph(vertices, tuple(edge for edge in links if edge is not None))


def _metadata(id_: str, node: Any) -> Mapping[str, Any]:
    metadata = node.get("metadata") if isinstance(node, dict) else None
    if not isinstance(metadata, dict):
        raise CompspecError(f'vertex "{id_}" has no metadata object')
    if not isinstance(metadata.get("type"), str):
        raise CompspecError(f'vertex "{id_}": "type" is missing or no string')
    if not isinstance(metadata.get("unit", ""), str):
        raise CompspecError(f'vertex "{id_}": "unit" is not a string')
    size = metadata.get("size", 1)
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= MAX_SIZE:
        raise CompspecError(f'vertex "{id_}": "size" is not a whole number from 0 to {MAX_SIZE}')
    return metadata


def _edge(place: int, edge: Any, sources: Collection[str], targets: Collection[str]) -> Edge | None:
    """An edge from its object; None when it says something else than `contains`."""
    if not isinstance(edge, dict):
        raise CompspecError(f"edge {place} is not an object")
    if edge.get("relation") != CONTAINS:
        return None
    source, target = edge.get("source"), edge.get("target")
    for end, id_, known in (("source", source, sources), ("target", target, targets)):
        if not isinstance(id_, str) or id_ not in known:
            raise CompspecError(f"edge {place}: there is no vertex for its {end} {id_!r}")
    return Edge(str(source), str(target))


def _children(edges: Iterable[Edge]) -> dict[str, set[str]]:
    children: dict[str, set[str]] = {}
    for edge in edges:
        children.setdefault(edge.source, set()).add(edge.target)
    return children


def _require_acyclic(children: Mapping[str, set[str]]) -> None:
    try:
        TopologicalSorter(children).prepare()
    except CycleError as exc:
        circle = " contains ".join(f'"{id_}"' for id_ in exc.args[1])
        raise CompspecError(f"the graph goes in a circle: {circle}") from exc


def _reachable(children: Mapping[str, set[str]]) -> set[str]:
    seen, open_ = {ROOT}, [ROOT]
    while open_:
        new = children.get(open_.pop(), set()) - seen
        seen |= new
        open_ += new
    return seen
