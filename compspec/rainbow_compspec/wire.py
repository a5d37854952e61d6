"""What is sent: the most telling form of a graph that fits into one message to rainbow.

The server refuses a message above 4 MiB (gRPC's default), and it reads no compressed ones. Of a
cluster's vertices its memory backend uses the type and the size, and of edges those that say
`contains`; of a subsystem's it uses the metadata of the vertices directly on a node.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Final

from rainbow_compspec import jgf, pooling, subsystem_forms
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.jgf import ROOT, ExplicitGraph, Graph
from rainbow_compspec.outline import Outline, outline
from rainbow_compspec.subsystems import SubsystemGraph

#: gRPC's default for a message, less what else is in it: names, a secret, a time, framing.
MAX_TEXT_BYTES: Final = 4 * 1024 * 1024 - 4096  # bytes

Parts = tuple[Iterable[str], Iterable[str]]  # the texts of vertices and of edges


class Form(Enum):
    """How much of a graph is sent; each says less than the one before."""

    FULL = "full"  # everything
    COMPACT = "compact"  # every vertex that the server uses, and nothing else of it
    POOLED = "pooled"  # several cores, GPUs or sockets of a node in one vertex
    SPREAD = "spread"  # every node, but cores and GPUs pooled over the whole cluster
    SHARED = "shared"  # subsystem: nodes with the same attributes share one vertex
    TRIMMED = "trimmed"  # subsystem: shared, and without `<package>@<version>`


@dataclass(frozen=True)
class WireForm:
    """A graph as it is sent, and what became of it."""

    text: str  # ASCII, so its length is in bytes
    form: Form
    note: str  # what the form means here, for people
    most: int | None = None  # pooled, spread: vertices of a type a node (or the cluster) at most


@dataclass(frozen=True)
class _TryForm:
    """One form to try. `least`: bytes that it surely needs, so that no time is lost on it."""

    form: Form
    note: str
    parts: Callable[[], Parts]
    least: int = 0
    most: int | None = None


def encode(graph: Graph, limit: int = MAX_TEXT_BYTES) -> WireForm:
    """The first form of a cluster or subsystem graph that fits.

    Args:
        graph: from cluster_graph, subsystem_graph, or a file.
        limit: bytes.

    Raises:
        CompspecError: not even the shortest form fits.
    """
    for step in _steps(graph, limit):
        text = None if step.least > limit else _join(jgf.frame(*step.parts()), limit)
        if text is not None:
            return WireForm(text, step.form, step.note, step.most)
    raise CompspecError(
        f"the graph has {len(graph)} vertices, and not even its shortest form fits into "
        f"{limit} bytes, the most that rainbow takes in one message; register it in parts, as "
        "several clusters"
    )


def _join(parts: Iterator[str], limit: int) -> str | None:
    """One string; None as soon as it is too long."""
    found, left = [], limit
    for part in parts:
        left -= len(part)
        if left < 0:
            return None
        found.append(part)
    return "".join(found)


def _steps(graph: Graph, limit: int) -> Iterator[_TryForm]:
    if isinstance(graph, SubsystemGraph):
        return _subsystem_steps(graph)
    if isinstance(graph, ExplicitGraph) and subsystem_forms.hangs_on_another(graph):
        return _foreign_subsystem_steps(graph)
    return _cluster_steps(graph, limit)


def _cluster_steps(graph: Graph, limit: int) -> Iterator[_TryForm]:
    yield _TryForm(
        Form.FULL,
        "every vertex with all that is known",
        partial(jgf.full_parts, graph),
        least=len(graph) * _LEAST_A_FULL_VERTEX,
    )
    yield _TryForm(
        Form.COMPACT,
        "every vertex, with its type and size only",
        partial(_compact, graph),
        least=len(graph) * _LEAST_A_VERTEX,
    )
    yield from _pooled_steps(outline(graph), limit)


#: A vertex of some type and the edge to it, ids of one character; the edge is there twice in full.
_LEAST_A_VERTEX: Final = 70  # bytes
_LEAST_A_FULL_VERTEX: Final = 120  # bytes


def _compact(graph: Graph) -> Parts:
    vertices = (pooling.vertex_text(v.id, v.type, v.size) for v in graph.vertices())
    return vertices, map(pooling.edge_text, graph.edges())


def _pooled_steps(reduced: Outline, limit: int) -> Iterator[_TryForm]:
    """Pool within nodes; then without sockets, which few jobs ask for; then over all nodes."""
    countable = ("core", "gpu")
    for form, note, holders in (
        (Form.POOLED, "vertices of a type in a node: at most {}", pooling.in_nodes(reduced)),
        (
            Form.POOLED,
            "vertices of a type in a node: at most {}, only cores and GPUs",
            pooling.in_nodes(reduced, countable),
        ),
        (
            Form.SPREAD,
            "vertices of cores and of GPUs in the cluster: at most {} each",
            pooling.in_cluster(reduced, ROOT, countable),
        ),
    ):
        plan = pooling.largest(reduced, holders, limit)
        if plan is not None:
            parts = partial(_plan_parts, plan)
            yield _TryForm(form, note.format(plan.most), parts, most=plan.most)


def _plan_parts(plan: pooling.Pooling) -> Parts:
    return plan.vertices(), plan.edges()


def _subsystem_steps(graph: SubsystemGraph) -> Iterator[_TryForm]:
    yield _TryForm(Form.FULL, "every node's vertex, packages below", partial(jgf.full_parts, graph))
    yield _TryForm(
        Form.SHARED,
        f"no packages; equal nodes share a vertex, {len(graph.profiles)} in all",
        partial(subsystem_forms.shared, graph),
    )
    yield _TryForm(
        Form.TRIMMED,
        "vertices that equal nodes share, only the newest version of a package",
        partial(subsystem_forms.trimmed, graph),
    )


def _foreign_subsystem_steps(graph: ExplicitGraph) -> Iterator[_TryForm]:
    safe = subsystem_forms.with_strings_only(graph)
    yield _TryForm(Form.FULL, "every vertex", partial(jgf.full_parts, safe))
    yield _TryForm(
        Form.COMPACT,
        "the vertices that hang on a node",
        partial(subsystem_forms.outermost, safe),
    )
