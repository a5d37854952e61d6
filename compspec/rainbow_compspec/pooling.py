"""Cores, GPUs and sockets in fewer vertices: as many as surely fit into a message.

Why as many as fit. Before rainbow searches a graph for `replicas: N` slots, it counts *vertices* of
the type under the slot, whatever their size, and says no below N; and while it searches, no more
slots can be found than vertices are visited. So a vertex less is a slot less that rainbow sees,
while the sums of the sizes are all that a `count` is compared with. With at most p vertices of a
type in each node, any job of up to p slots a node still matches.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rainbow_compspec.jgf import Edge, quoted
from rainbow_compspec.outline import Kept, Outline


@dataclass(frozen=True, slots=True)
class PoolOwner:
    """A vertex that gets pooled vertices, and the sums they stand for."""

    id: str
    sums: Mapping[str, int]


@dataclass(frozen=True)
class Pooling:
    """A plan: the outline as it is, and up to `most` vertices of a type under each holder."""

    outline: Outline
    holders: tuple[PoolOwner, ...]
    most: int

    def vertices(self) -> Iterator[str]:
        """The texts of all vertices."""
        yield from map(_kept_text, self.outline.kept)
        for id_, _, type_, size in self._pools():
            yield vertex_text(str(id_), type_, size)

    def edges(self) -> Iterator[str]:
        """The texts of all edges."""
        yield from map(edge_text, self.outline.edges)
        for id_, holder, _, _ in self._pools():
            yield edge_text(Edge(holder, str(id_)))

    def _pools(self) -> Iterator[tuple[int, str, str, int]]:
        """Id, holder's id, type and size of every pooled vertex."""
        id_ = _first_free(self.outline)
        for holder in self.holders:
            for type_, total in holder.sums.items():
                for size in split(total, self.most):
                    yield id_, holder.id, type_, size
                    id_ += 1


def split(total: int, most: int) -> list[int]:
    """`total` in at most `most` parts of 1 or more, as equal as can be, larger ones first."""
    parts = min(total, most)
    if parts == 0:
        return []
    size, more = divmod(total, parts)
    return [size + 1] * more + [size] * (parts - more)


def in_nodes(outline: Outline, types: Collection[str] | None = None) -> tuple[PoolOwner, ...]:
    """Every node holds what is in it; only `types`, when given."""
    return tuple(
        PoolOwner(
            kept.id, {t: total for t, total in kept.within.items() if not types or t in types}
        )
        for kept in outline.kept
    )


def in_cluster(outline: Outline, root: str, types: Collection[str]) -> tuple[PoolOwner, ...]:
    """The cluster itself holds what is in all nodes."""
    sums: Counter[str] = Counter()
    for holder in in_nodes(outline, types):
        sums.update(holder.sums)
    return (PoolOwner(root, sums),)


def largest(outline: Outline, holders: tuple[PoolOwner, ...], limit: int) -> Pooling | None:
    """The plan with the most vertices that is sure to fit; None when not even one each does.

    Args:
        outline: what is sent as it is.
        holders: what is to be pooled.
        limit: bytes for the whole graph.
    """
    fixed = sum(len(_kept_text(kept)) + 1 for kept in outline.kept)
    fixed += sum(len(edge_text(edge)) + 1 for edge in outline.edges) + _FRAME
    kinds = Counter((len(quoted(h.id)), tuple(h.sums.items())) for h in holders)
    most = max((total for h in holders for total in h.sums.values()), default=1)
    width = len(str(_first_free(outline) + sum(sum(h.sums.values()) for h in holders)))

    def cost(parts: int) -> int:
        return fixed + sum(
            count * _kind_cost(sums, parts, width, holder_width)
            for (holder_width, sums), count in kinds.items()
        )

    fitting = bisect_right(range(1, most + 1), limit, key=cost)
    return Pooling(outline, holders, fitting) if fitting else None


#: Bytes of a graph's text round its parts; more than jgf.frame writes.
_FRAME = 64


def _kind_cost(sums: Sequence[tuple[str, int]], most: int, id_width: int, holder_width: int) -> int:
    """Bytes for the pools of one holder, or a little more: ids count as the widest."""
    edge = len(edge_text(Edge("", ""))) - len('""') + holder_width + id_width + 1
    cost = 0
    for type_, total in sums:
        for size, count in Counter(split(total, most)).items():
            vertex = len(vertex_text("", type_, size)) + id_width + 1
            cost += count * (vertex + edge)
    return cost


def _first_free(outline: Outline) -> int:
    """The first number above all ids that are numbers."""
    return 1 + max((int(kept.id) for kept in outline.kept if kept.id.isdecimal()), default=0)


def _kept_text(kept: Kept) -> str:
    return vertex_text(kept.id, kept.type, kept.size)


def vertex_text(id_: str, type_: str, size: int) -> str:
    """A vertex with no more than rainbow's memory backend reads; a size of 1 is its default."""
    more = "" if size == 1 else f',"size":{size}'
    return f'{quoted(id_)}:{{"metadata":{{"type":{quoted(type_)}{more}}}}}'


def edge_text(edge: Edge) -> str:
    """An edge, one way."""
    return (
        f'{{"source":{quoted(edge.source)},"target":{quoted(edge.target)},"relation":"contains"}}'
    )
