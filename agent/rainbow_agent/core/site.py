"""The nodes of this cluster as a value: what a plan is placed on. Pure.

Made from a survey (inventory.site_of); it travels as JSON into nested instances, whose nodes are
some of these under other ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rainbow_agent.core.requirements import Choices, Need, Traits

#: Subsystem to what its vertices say.
Subsystems = Mapping[str, Sequence[Traits]]


@dataclass(frozen=True)
class SiteNode:
    """One node, as far as placing asks. Equal nodes share one `traits`."""

    rank: int
    name: str
    cores: int
    gpus: int
    up: bool = True  # jobs may start on it now
    traits: Subsystems | None = None  # None: it never described itself
    gpus_withheld: int = 0  # that it has, and the scheduler gives to no job

    @property
    def size(self) -> tuple[int, int]:
        """Cores and GPUs."""
        return self.cores, self.gpus


@dataclass(frozen=True)
class Site:
    """All nodes, up or down, and what holds on each of them."""

    nodes: tuple[SiteNode, ...]
    #: The user's own subsystems (~/.compspec/subsystems).
    everywhere: Subsystems = field(default_factory=dict)

    def offers(self, node: SiteNode, subsystem: str) -> tuple[Traits, ...]:
        """The vertices of a subsystem that a node can use."""
        return (*(node.traits or {}).get(subsystem, ()), *self.everywhere.get(subsystem, ()))

    def meeting(self, need: Need) -> list[SiteNode]:
        """The nodes that meet one need."""
        return self.passing(((need,),))

    def passing(self, choices: Choices) -> list[SiteNode]:
        """The nodes that meet all needs of one of the lists; all nodes where there is no list."""
        if not choices:
            return list(self.nodes)
        kinds = {id(node.traits): node for node in self.nodes}  # most say the same as many others
        passing = {kind for kind, node in kinds.items() if self._passes(node, choices)}
        return [node for node in self.nodes if id(node.traits) in passing]

    def _passes(self, node: SiteNode, choices: Choices) -> bool:
        return any(
            all(need.met_by(self.offers(node, need.subsystem)) for need in needs)
            for needs in choices
        )

    def names(self) -> list[str]:
        """Every subsystem that is known of anywhere, sorted."""
        known = set(self.everywhere)
        for node in self.nodes:
            known.update(node.traits or ())
        return sorted(known)
