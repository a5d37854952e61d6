"""Which clusters could run a jobspec: a search for free resources, counted one by one.

The Go server compares totals: here the cores of a node must be on that node, a resource is given
to one request only, and every `requires` must be met by what hangs on the very vertex. More than
there is found here: slots by `count`, the cluster itself. It asks whether the cluster is large
enough, not whether it is free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from rainbow_agent.fleet.scheduler_server.graph import Cluster, Vertex
from rainbow_agent.fleet.scheduler_server.request import Wanted

_SLOT: Final = "slot"
_NODE: Final = "node"


def matching(clusters: Mapping[str, Cluster], requests: tuple[Wanted, ...]) -> list[str]:
    """Names of the clusters that could run what is asked for, sorted."""
    return sorted(name for name, cluster in clusters.items() if satisfies(cluster, requests))


def satisfies(cluster: Cluster, requests: tuple[Wanted, ...]) -> bool:
    """Whether each request fits into the cluster when it has it for itself.

    Tasks with different resources may run one after the other, so each is counted alone.
    """
    if not requests:
        return True
    root = cluster.root
    if root is None:
        return False
    return all(
        _Search(cluster).place(root, _grounded(request, root.types), request.needed)
        >= request.needed
        for request in requests
    )


def _grounded(request: Wanted, present: frozenset[str], *, in_node: bool = False) -> Wanted:
    """A request whose slots stand on resources that the cluster has.

    A slot is not a vertex of a graph, and upstream's own client writes "N nodes" as a slot of a
    rack, also where there are none. Slots of anything but nodes are taken as slots on a node, since
    a task runs on one node; or, if nodes are inside of them or around them, as slots anywhere below
    (type ""). A rack that is counted is a rack.
    """
    in_node = in_node or request.type == _NODE
    children = tuple(_grounded(child, present, in_node=in_node) for child in request.children)
    grounded = replace(request, children=children)
    loose = request.type == _SLOT or (request.shares and request.type != _NODE)
    if not loose or request.requires or not children:
        return grounded
    on_node = _NODE in present and not in_node and _NODE not in request.types()
    # The count of a slot is a number of slots: they share a node where they fit.
    return replace(
        grounded, type=_NODE if on_node else "", count=None, replicas=max(1, request.needed)
    )


class _Search:
    """Resources of one cluster, taken bit by bit, and given back when a part does not fit."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._used: dict[str, int] = {}  # vertex id -> units taken
        self._taken: list[tuple[str, int]] = []  # in order, to give back

    def place(self, vertex: Vertex, request: Wanted, wanted: int) -> int:
        """Take up to `wanted` of what is asked for at or below a vertex; how many there were."""
        if not request.type:
            return self._fill(vertex, request, wanted)
        if request.type not in vertex.types:
            return 0
        placed = 0
        if vertex.type == request.type:
            placed = self._take(vertex, request, wanted)
        for child in vertex.children:
            if placed >= wanted:
                break
            placed += self.place(child, request, wanted - placed)
        return placed

    def _take(self, vertex: Vertex, request: Wanted, wanted: int) -> int:
        free = vertex.size - self._used.get(vertex.id, 0)
        if free < 1 or not self._meets(vertex, request):
            return 0
        if request.shares:
            return self._fill(vertex, request, wanted)
        number = min(wanted, free)
        if request.children:
            number = self._fill(vertex, request, number)
        self._use(vertex.id, number)
        return number

    def _fill(self, vertex: Vertex, request: Wanted, wanted: int) -> int:
        """Take the contents of as many of the request as fit below one vertex, up to `wanted`."""
        mark = len(self._taken)
        number = wanted
        for child in request.children:
            units = self._below(vertex, child, child.needed * number)
            number = min(number, units // child.needed)
            self._give_back(mark)
        # Each child alone fits `number` times; together they may not, if they share a type.
        while number:
            parts = ((child, child.needed * number) for child in request.children)
            if all(self._below(vertex, child, need) >= need for child, need in parts):
                break
            self._give_back(mark)
            number -= 1
        return number

    def _below(self, vertex: Vertex, request: Wanted, wanted: int) -> int:
        if not request.type:
            return self._fill(vertex, request, wanted)
        placed = 0
        for child in vertex.children:
            if placed >= wanted:
                break
            placed += self.place(child, request, wanted - placed)
        return placed

    def _meets(self, vertex: Vertex, request: Wanted) -> bool:
        """Each requirement, by any vertex of its subsystem that hangs on this one."""
        return all(
            need.met_by(self._cluster.offers(vertex.id, need.subsystem))
            for need in request.requires
        )

    def _use(self, vertex: str, number: int) -> None:
        if number:
            self._used[vertex] = self._used.get(vertex, 0) + number
            self._taken.append((vertex, number))

    def _give_back(self, mark: int) -> None:
        while len(self._taken) > mark:
            vertex, number = self._taken.pop()
            self._used[vertex] -= number
