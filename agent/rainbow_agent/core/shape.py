"""What a task asks for, in the words of Flux's jobspec version 1, and whether nodes have it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Shape:
    """What a task asks for."""

    nodes: int = 0  # 0: the slots may be anywhere
    slots: int = 0  # a node, or in all without nodes; 0 while the slot is not found
    cores: int = 0  # a slot
    gpus: int = 0  # a slot
    exclusive: bool = False  # whole nodes
    flattened: tuple[str, ...] = ()  # levels that were asked for and cannot be promised

    def times(self, number: int) -> Shape:
        """`number` of these, side by side, in something bigger."""
        if self.nodes:
            return replace(self, nodes=self.nodes * number)
        if self.slots:
            return replace(self, slots=self.slots * number)
        return replace(self, cores=self.cores * number, gpus=self.gpus * number)

    @property
    def wanted(self) -> int:
        """How many pieces must be placed: nodes, or slots where these may be anywhere."""
        return self.nodes or self.slots

    def placed_on(self, nodes: Iterable[tuple[int, int]]) -> int:
        """How many pieces fit on empty nodes.

        Args:
            nodes: cores and GPUs of each.
        """
        pieces = 0
        for size, many in Counter(nodes).items():
            slots = self._slots_on(*size)
            pieces += many * (int(slots >= self.slots) if self.nodes else slots)
        return pieces

    def _slots_on(self, cores: int, gpus: int) -> int:
        by_cores = cores // max(1, self.cores)
        return min(by_cores, gpus // self.gpus) if self.gpus else by_cores

    def __str__(self) -> str:
        """For people: `2 nodes with 4 cores`, `3 slots of 1 core and 2 GPUs`."""
        slot = number(self.cores, "core") + (
            f" and {number(self.gpus, 'GPU')}" if self.gpus else ""
        )
        if not self.nodes:
            return f"{number(self.slots, 'slot')} of {slot}"
        many = f"{number(self.slots, 'slot')} of " if self.slots > 1 else ""
        return f"{number(self.nodes, 'node')} with {many}{slot}{' each' if self.nodes > 1 else ''}"


def number(count: int, word: str) -> str:
    """`1 node`, `2 nodes`."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def shape_in(jobspec: Mapping[str, Any]) -> Shape:
    """What a Flux jobspec asks for, of the form in which the planner writes them."""
    (vertex,) = jobspec["resources"]
    nodes, exclusive = 0, False
    if vertex["type"] == "node":
        nodes, exclusive = vertex["count"], vertex.get("exclusive", False)
        (vertex,) = vertex["with"]
    inside = {part["type"]: part["count"] for part in vertex["with"]}
    return Shape(nodes, vertex["count"], inside["core"], inside.get("gpu", 0), exclusive)
