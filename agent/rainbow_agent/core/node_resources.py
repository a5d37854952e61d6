"""What a workload manager can schedule, node by node, and what of that is free."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from rainbow_agent.core.notation import listed


@dataclass(frozen=True)
class NodeView:
    """One node (Flux: broker rank) as the workload manager schedules it."""

    rank: int
    name: str
    cores: int
    gpus: int
    up: bool = True  # new jobs may start on it: it is neither down nor drained
    cores_free: int = 0
    gpus_free: int = 0
    drained: bool = False  # somebody took it out of scheduling, and it is there all the same
    core_ids: tuple[int, ...] | None = (
        None  # those scheduled, by logical number; None: 0 to cores-1
    )
    gpu_ids: tuple[int, ...] | None = None  # likewise
    gpus_withheld: int = 0  # that it has, and the scheduler gives to no job

    @property
    def online(self) -> bool:
        """Whether the node is there, drained or not."""
        return self.up or self.drained


@dataclass(frozen=True)
class PoolView:
    """What the workload manager can schedule. A node that is down or drained counts as not free."""

    nodes: tuple[NodeView, ...]

    @property
    def nodes_free(self) -> int:
        """Nodes that are up and have nothing allocated."""
        return sum(1 for n in self.nodes if n.up and n.cores_free == n.cores)

    def same_nodes(self, other: PoolView) -> bool:
        """Whether the other has these nodes, whatever of them is free; quick for the same object.

        A workload manager gives the same one while nothing changes, and comparing thousands of
        nodes every few seconds is work.
        """
        return self is other or (
            len(self.nodes) == len(other.nodes)
            and all(
                mine == theirs  # most are, and are compared at a tenth of the cost
                or replace(mine, cores_free=0, gpus_free=0)
                == replace(theirs, cores_free=0, gpus_free=0)
                for mine, theirs in zip(self.nodes, other.nodes, strict=True)
            )
        )

    def totals(self) -> dict[str, int]:
        """The `resources` object of `status` (docs/commands.md).

        What is up and not free is in use; what is not up is neither.
        """
        up = [node for node in self.nodes if node.up]
        return {
            "nodes_total": len(self.nodes),
            "nodes_up": len(up),
            "nodes_free": self.nodes_free,
            "cores_total": sum(n.cores for n in self.nodes),
            "cores_up": sum(n.cores for n in up),
            "cores_free": sum(n.cores_free for n in up),
            "gpus_total": sum(n.gpus for n in self.nodes),
            "gpus_up": sum(n.gpus for n in up),
            "gpus_free": sum(n.gpus_free for n in up),
        }


def names_of(nodes: Iterable[NodeView]) -> str:
    """Nodes that are not up, for people: each with how it is."""
    return listed([f"{node.name} ({'drained' if node.drained else 'down'})" for node in nodes])
