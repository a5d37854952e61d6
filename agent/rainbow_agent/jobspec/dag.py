"""Topological order, stable and without recursion."""

from __future__ import annotations

import heapq
from collections.abc import Sequence


class Cycle(Exception):
    """The nodes of a cycle, each before one that it depends on; the last depends on the first."""

    def __init__(self, nodes: list[int]) -> None:
        super().__init__(nodes)
        self.nodes = nodes


def topological(depends_on: Sequence[Sequence[int]]) -> list[int]:
    """Node numbers so that each stands after all it depends on; the lowest first among equals.

    Args:
        depends_on: for each node, the nodes that it depends on, each once.

    Raises:
        Cycle: there is no such order.
    """
    missing = [len(needs) for needs in depends_on]
    dependents: list[list[int]] = [[] for _ in depends_on]
    for node, needs in enumerate(depends_on):
        for need in needs:
            dependents[need].append(node)
    ready = [node for node, count in enumerate(missing) if not count]
    order = []
    while ready:  # a sorted list is a heap already
        node = heapq.heappop(ready)
        order.append(node)
        for dependent in dependents[node]:
            missing[dependent] -= 1
            if not missing[dependent]:
                heapq.heappush(ready, dependent)
    if len(order) < len(depends_on):
        raise Cycle(_cycle(depends_on, missing))
    return order


def _cycle(depends_on: Sequence[Sequence[int]], missing: Sequence[int]) -> list[int]:
    """A cycle among the nodes that Kahn's algorithm left over: each still needs one of them."""
    node = next(n for n, count in enumerate(missing) if count)
    place: dict[int, int] = {}
    path: list[int] = []
    while node not in place:
        place[node] = len(path)
        path.append(node)
        node = next(need for need in depends_on[node] if missing[need])
    return path[place[node] :]
