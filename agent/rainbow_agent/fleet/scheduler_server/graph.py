"""Clusters as graphs, in memory only: what they contain, and what their nodes offer.

Read from JSON Graph Format as the Go server reads it (plugins/backends/memory): the root has the
node id "0", only `contains` edges count, `type` and `size` of a vertex's metadata count. Nothing
here is stored: after a restart the graphs are gone, as they are there.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from rainbow_agent.fleet.scheduler_server.failure import Failure

ROOT: Final = "0"
#: Name of the containment graph itself among the subsystems.
CONTAINMENT: Final = "cluster"
_CONTAINS: Final = "contains"
_MAX_LEVELS: Final = 100  # levels of containment; real machines have less than ten

State = dict[str, Any]


@dataclass(frozen=True)
class Vertex:
    """A resource. `size` is how many units of it there are (a pool) or how large it is."""

    id: str
    type: str
    size: int
    children: tuple[Vertex, ...]
    types: frozenset[str]  # of itself and of all below it


@dataclass
class Cluster:
    """One cluster: its containment tree, its subsystems and its state."""

    root: Vertex | None
    ids: frozenset[str]
    #: subsystem -> vertex id -> metadata of each subsystem vertex that hangs on it
    subsystems: dict[str, dict[str, list[Mapping[str, Any]]]] = field(default_factory=dict)
    state: State = field(default_factory=dict)

    @property
    def bare(self) -> bool:
        """Whether its containment graph was deleted, as a subsystem, and waits for another."""
        return not self.ids

    def offers(self, vertex: str, subsystem: str) -> Sequence[Mapping[str, Any]]:
        """Metadata of the subsystem's vertices that hang directly on a vertex."""
        return self.subsystems.get(subsystem, {}).get(vertex, ())


class Graphs:
    """All clusters. Safe to use from several threads; a cluster's tree never changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clusters: dict[str, Cluster] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._clusters

    def load(self, name: str, cluster: Cluster) -> None:
        """Add a cluster.

        Raises:
            Failure: there is one of this name.
        """
        with self._lock:
            if name in self._clusters:
                raise Failure(f"cluster graph {name} already exists and cannot be added again")
            self._clusters[name] = cluster

    def replace(self, name: str, cluster: Cluster) -> None:
        """Add a cluster in the place of any that has its name."""
        with self._lock:
            self._clusters[name] = cluster

    def remove(self, name: str) -> None:
        """Forget a cluster, its subsystems and its state."""
        with self._lock:
            if self._clusters.pop(name, None) is None:
                raise Failure(f"cluster graph {name} does not exist")

    def add_subsystem(self, name: str, subsystem: str, graph: str) -> None:
        """Hang a subsystem on a cluster; all of it or nothing."""
        with self._lock:
            cluster = self._clusters.get(name)
            if cluster is None:
                raise Failure(f"cluster graph {name} to register subsytem does not exist")
            own = subsystem == CONTAINMENT
            if subsystem in cluster.subsystems or (own and not cluster.bare):
                raise Failure(f"subsystem {subsystem} already exists for cluster {name}")
            if own:
                fresh = parse_cluster(graph)
                # What hung on the old graph's vertices is gone, the subsystems' names are not.
                fresh.subsystems = {known: {} for known in cluster.subsystems}
                fresh.state = cluster.state
                self._clusters[name] = fresh
            else:
                cluster.subsystems[subsystem] = _attachments(graph, cluster.ids)

    def remove_subsystem(self, name: str, subsystem: str) -> None:
        """Take a subsystem off a cluster, and what it offered with it."""
        with self._lock:
            cluster = self._clusters.get(name)
            if cluster is None:
                raise Failure(f"cluster graph {name} does not exist")
            if subsystem == CONTAINMENT and not cluster.bare:
                bare = Cluster(None, frozenset(), cluster.subsystems, cluster.state)
                self._clusters[name] = bare
            elif cluster.subsystems.pop(subsystem, None) is None:
                raise Failure(f"cluster graph {name} does not have subsystem {subsystem}")

    def update_state(self, name: str, state: State) -> None:
        """Merge keys into a cluster's state; keys are never removed."""
        with self._lock:
            self._known(name).state.update(state)

    def states(self, names: Iterable[str]) -> dict[str, State]:
        """Copies of the states of clusters."""
        with self._lock:
            return {name: dict(self._known(name).state) for name in names}

    def snapshot(self) -> dict[str, Cluster]:
        """All clusters that have a graph, as they are now, to search without the lock."""
        with self._lock:
            return {
                name: Cluster(c.root, c.ids, dict(c.subsystems), c.state)
                for name, c in self._clusters.items()
                if not c.bare
            }

    def _known(self, name: str) -> Cluster:
        if name not in self._clusters:
            raise Failure(f"cluster {name} does not exist")
        return self._clusters[name]


def parse_cluster(text: str) -> Cluster:
    """A cluster from its JGF text.

    Raises:
        Failure: it is not a graph, has no edges, or an edge leads to no node.
    """
    nodes, edges = _read(text)
    children: dict[str, list[str]] = {}
    for source, target in edges:
        for role, end in (("source", source), ("destination", target)):
            if end not in nodes:
                raise Failure(f"{role} {end} is defined as an edge, but missing as node in graph")
        children.setdefault(source, []).append(target)
    seen = {ROOT}
    root = _vertex(ROOT, nodes, children, seen, 0) if ROOT in nodes else None
    return Cluster(root=root, ids=frozenset(nodes))


def _attachments(text: str, cluster: frozenset[str]) -> dict[str, list[Mapping[str, Any]]]:
    """What hangs on which vertex of the cluster; edges inside of the subsystem are not needed."""
    nodes, edges = _read(text)
    attached: dict[str, list[Mapping[str, Any]]] = {}
    for source, target in edges:
        if source in nodes and target in nodes:
            continue
        if source not in cluster or target not in nodes:
            raise Failure(
                f"edge {source}->{target} is not internal, and not connected to the dominant"
                " subsystem"
            )
        attached.setdefault(source, []).append(nodes[target])
    return attached


def _read(text: str) -> tuple[dict[str, Mapping[str, Any]], list[tuple[str, str]]]:
    """Metadata by node id, and the `contains` edges."""
    try:
        graph = json.loads(text).get("graph") or {}
        nodes = {str(id_): node.get("metadata") or {} for id_, node in graph["nodes"].items()}
        every = graph["edges"]
        edges = [(e["source"], e["target"]) for e in every if e.get("relation") == _CONTAINS]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        if isinstance(exc, KeyError):
            raise Failure("subsystem cluster must have at least one edge and node") from exc
        raise Failure(f"cluster nodes are invalid: error unmarshalling json graph: {exc}") from exc
    if not nodes or not every:
        raise Failure("subsystem cluster must have at least one edge and node")
    if not all(isinstance(m, dict) for m in nodes.values()):
        raise Failure("cluster nodes are invalid: metadata must be an object")
    return nodes, edges


def _vertex(
    id_: str,
    nodes: Mapping[str, Mapping[str, Any]],
    children: Mapping[str, list[str]],
    seen: set[str],
    depth: int,
) -> Vertex:
    """The tree below a node; what two contain, or what contains itself, is there once."""
    if depth > _MAX_LEVELS:
        raise Failure(f"cluster nodes are invalid: more than {_MAX_LEVELS} levels of containment")
    below = []
    for child in children.get(id_, ()):
        if child not in seen:
            seen.add(child)
            below.append(_vertex(child, nodes, children, seen, depth + 1))
    kind = nodes[id_].get("type")
    name = kind if isinstance(kind, str) else "resource"
    types = frozenset({name}).union(*(v.types for v in below))
    return Vertex(id_, name, _size(nodes[id_]), tuple(below), types)


def _size(metadata: Mapping[str, Any]) -> int:
    size = metadata.get("size", 1)
    if isinstance(size, bool) or not isinstance(size, (int, float)) or not math.isfinite(size):
        raise Failure("cluster nodes are invalid: `size` must be a number")
    return max(0, int(size))
