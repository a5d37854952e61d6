"""The forms in which a subsystem's graph can be sent, each as texts of vertices and edges.

All keep what rainbow matches: the attributes of the one vertex on each node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from rainbow_compspec.jgf import Edge, ExplicitGraph, Vertex, quoted, to_json
from rainbow_compspec.pooling import edge_text
from rainbow_compspec.subsystems import Profile, SubsystemGraph

Parts = tuple[Iterable[str], Iterable[str]]


def shared(graph: SubsystemGraph) -> Parts:
    """A vertex for every profile, packages left out; an edge to it from every node that has it."""
    return _shared(graph.name, graph.profiles, graph.members)


def _shared(name: str, profiles: Sequence[Profile], members: Sequence[tuple[str, int]]) -> Parts:
    return (
        (_text(name, f"{name}{place}", each.attributes) for place, each in enumerate(profiles)),
        (edge_text(Edge(node_id, f"{name}{place}")) for node_id, place in members),
    )


def trimmed(graph: SubsystemGraph) -> Parts:
    """As shared, over profiles without `<package>@<version>`."""
    places: dict[tuple[tuple[str, str], ...], int] = {}
    merged = [places.setdefault(_newest_only(each), len(places)) for each in graph.profiles]
    profiles = [Profile(dict(attributes)) for attributes in places]
    return _shared(graph.name, profiles, [(id_, merged[place]) for id_, place in graph.members])


def _newest_only(profile: Profile) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in profile.attributes.items() if "@" not in name)


def _text(name: str, id_: str, attributes: Mapping[str, str]) -> str:
    return f'{quoted(id_)}:{{"metadata":{to_json({"type": name} | dict(attributes))}}}'


def hangs_on_another(graph: ExplicitGraph) -> bool:
    """Whether edges come from outside, as a subsystem's do."""
    return any(edge.source not in graph.by_id for edge in graph.links)


def with_strings_only(graph: ExplicitGraph) -> ExplicitGraph:
    """A graph that cannot end the server's process: subsystems.py says how one could."""
    direct = _direct(graph)
    vertices = {
        id_: Vertex(id_, _strings(vertex.metadata)) if id_ in direct else vertex
        for id_, vertex in graph.by_id.items()
    }
    return ExplicitGraph(vertices, graph.links)


def outermost(graph: ExplicitGraph) -> Parts:
    """The vertices that hang on a node, and their edges."""
    direct = _direct(graph)
    return _vertices(graph, direct), (
        edge_text(edge) for edge in graph.links if edge.source not in graph.by_id
    )


def _vertices(graph: ExplicitGraph, ids: set[str]) -> Iterator[str]:
    for id_, vertex in graph.by_id.items():
        if id_ in ids:
            yield f'{quoted(id_)}:{{"metadata":{to_json(vertex.metadata)}}}'


def _direct(graph: ExplicitGraph) -> set[str]:
    return {edge.target for edge in graph.links if edge.source not in graph.by_id}


def _strings(metadata: Mapping[str, object]) -> dict[str, str]:
    return {name: value for name, value in metadata.items() if isinstance(value, str)}
