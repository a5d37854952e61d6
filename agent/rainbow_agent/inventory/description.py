"""What this cluster is: the graphs that rainbow matches jobs with, made from a survey."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

from rainbow_agent.core.errors import NotDescribed
from rainbow_agent.core.requirements import Traits
from rainbow_agent.core.site import Site, SiteNode, Subsystems
from rainbow_agent.inventory.survey import Survey, Surveyed
from rainbow_compspec.cluster import ClusterGraph, cluster_graph
from rainbow_compspec.facts import NodeFacts
from rainbow_compspec.jgf import frame
from rainbow_compspec.schedulable import restrict
from rainbow_compspec.subsystem_forms import shared
from rainbow_compspec.subsystems import SUBSYSTEMS, Profile, SubsystemGraph, subsystem_graph
from rainbow_compspec.wire import MAX_TEXT_BYTES, Form, encode


@dataclass(frozen=True)
class Sendable:
    """A graph in the form in which it is sent."""

    name: str  # `cluster`, or the subsystem's
    text: str  # JGF
    form: str  # how much of it is sent (rainbow_compspec.wire.Form)
    note: str  # what that means here, for people
    #: Subsystem: a digest of the nodes that it hangs on, if it is a single vertex; such a graph
    #: can take another's place on the server (docs/decisions/0005). None: it cannot.
    anchors: str | None = None

    @property
    def digest(self) -> str:
        """Differs when the text does."""
        return digest(self.text)


@dataclass(frozen=True)
class ClusterDescription:
    """All that rainbow is to know of this cluster at one time."""

    survey: Survey
    graph: Sendable
    subsystems: tuple[Sendable, ...]
    whole: ClusterGraph  # for people and other tools
    memory_per_node: int | None  # bytes, of the node with the least


def digest(text: str) -> str:
    """A short text that differs when `text` does (64 bits of SHA-256)."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def describe_cluster(
    cluster: str, survey: Survey, rack_of: Callable[[str], str] = lambda _: ""
) -> ClusterDescription:
    """The graphs of a cluster.

    Args:
        cluster: its name.
        survey: of its nodes.
        rack_of: the rack of the node with a name; "" where it is not known.

    Raises:
        NotDescribed: it has no node now; later it may.
        CompspecError: it is too large for one message to rainbow.
    """
    counted = survey.counted
    if not counted:
        raise NotDescribed(
            f"cluster {cluster} has no node that is up and answers; it is registered when one does"
        )
    nodes = [replace(facts, rack=rack_of(facts.name)) for facts in map(_facts, counted)]
    whole = cluster_graph(cluster, nodes)
    wire = encode(whole)
    described = [
        (facts, id_)
        for facts, id_, each in zip(nodes, whole.node_ids, counted, strict=True)
        if each.facts is not None
    ]
    return ClusterDescription(
        survey=survey,
        graph=Sendable("cluster", wire.text, wire.form.value, wire.note),
        subsystems=tuple(_subsystems([f for f, _ in described], [i for _, i in described])),
        whole=whole,
        memory_per_node=min((f.memory for f in nodes if f.memory), default=None),
    )


def site_of(survey: Survey, everywhere: Subsystems) -> Site:
    """The nodes as jobs are placed on them, also those that are down now.

    Args:
        survey: of all nodes.
        everywhere: the user's own subsystems, which hold on every node.
    """
    described = [each for each in survey.nodes if each.facts or each.past]
    facts = [_facts(each) for each in described]
    ids = [str(each.view.rank) for each in described]
    places: dict[str, list[tuple[str, int]]] = {id_: [] for id_ in ids}
    graphs = {name: subsystem_graph(name, facts, ids) for name in SUBSYSTEMS}
    for name, graph in graphs.items():
        for id_, place in graph.members:
            places[id_].append((name, place))

    @cache
    def traits(found: tuple[tuple[str, int], ...]) -> Subsystems:
        return {name: vertices(name, place) for name, place in found}

    @cache
    def vertices(name: str, place: int) -> tuple[Traits, ...]:
        return _vertices(name, graphs[name].profiles[place])

    def node(each: Surveyed) -> SiteNode:
        view, found = each.view, places.get(str(each.view.rank))
        known = None if found is None else traits(tuple(found))
        size = (view.cores, view.gpus)
        return SiteNode(view.rank, view.name, *size, view.up, known, view.gpus_withheld)

    return Site(tuple(node(each) for each in survey.nodes), everywhere)


def _vertices(name: str, profile: Profile) -> tuple[Traits, ...]:
    """A node's vertex of a subsystem, and its packages; a package's every version counts."""
    versions: dict[str, tuple[str, ...]] = {}
    for package in profile.packages:
        versions[package.name] = (*versions.get(package.name, ()), package.version)
    own = {"type": name, **profile.attributes, **versions}
    return (
        own,
        *(
            {
                "type": "package",
                "name": package.name,
                "version": package.version,
                "hash": package.hash,
                "compiler": package.compiler,
                "target": package.target,
            }
            for package in profile.packages
        ),
    )


def _facts(each: Surveyed) -> NodeFacts:
    view = each.view
    return restrict(
        each.facts or each.past,
        name=view.name,
        rank=view.rank,
        cores=each.core_ids,
        gpus=each.gpu_ids,
    )


def _subsystems(nodes: Sequence[NodeFacts], ids: Sequence[str]) -> list[Sendable]:
    """Each subsystem that has something to say."""
    graphs = (subsystem_graph(name, nodes, ids) for name in SUBSYSTEMS)
    return [_sendable(graph) for graph in graphs if not graph.empty]


def _sendable(graph: SubsystemGraph) -> Sendable:
    """Equal nodes share a vertex: it is short, and one vertex alone can be replaced in place."""
    text = "".join(frame(*shared(graph)))
    form, note = Form.SHARED.value, f"{len(graph.profiles)} vertices that equal nodes share"
    if len(text) > MAX_TEXT_BYTES:
        wire = encode(graph)
        text, form, note = wire.text, wire.form.value, wire.note
    single = len(graph.profiles) == 1
    anchors = digest(",".join(id_ for id_, _ in graph.members)) if single else None
    return Sendable(graph.name, text, form, note, anchors)
