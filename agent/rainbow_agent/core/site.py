"""The nodes of this cluster as a value: what a plan is placed on. Pure.

Made from a survey (inventory.site_of); it travels as JSON into nested instances, whose nodes are
some of these under other ranks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

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
        answers = _Answers(self)
        return [
            node
            for node in self.nodes
            if not choices or any(all(answers.meets(node, n) for n in needs) for needs in choices)
        ]

    def names(self) -> list[str]:
        """Every subsystem that is known of anywhere, sorted."""
        known = set(self.everywhere)
        for node in self.nodes:
            known.update(node.traits or ())
        return sorted(known)

    def nested(self, ranks: Sequence[int]) -> Site:
        """What a nested instance on some of these nodes sees.

        Args:
            ranks: of this site, in the order of the nested instance's ranks 0, 1, ...
        """
        by_rank = {node.rank: node for node in self.nodes}
        known = [(new, by_rank[rank]) for new, rank in enumerate(ranks) if rank in by_rank]
        return replace(self, nodes=tuple(replace(node, rank=new) for new, node in known))

    def to_json(self) -> dict[str, Any]:
        """As JSON; equal nodes' traits stand there once."""
        places: dict[int, int] = {}
        profiles: list[Any] = []
        nodes = []
        for node in self.nodes:
            if node.traits is not None and id(node.traits) not in places:
                places[id(node.traits)] = len(profiles)
                profiles.append(_subsystems_to_json(node.traits))
            profile = None if node.traits is None else places[id(node.traits)]
            nodes.append([node.rank, node.name, node.cores, node.gpus, node.up, profile])
        everywhere = _subsystems_to_json(self.everywhere)
        return {"nodes": nodes, "profiles": profiles, "everywhere": everywhere}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Site:
        """The site that to_json() gave."""
        profiles = [_subsystems_from_json(profile) for profile in value["profiles"]]
        nodes = (
            SiteNode(rank, name, cores, gpus, up, None if place is None else profiles[place])
            for rank, name, cores, gpus, up, place in value["nodes"]
        )
        return cls(tuple(nodes), _subsystems_from_json(value["everywhere"]))


class _Answers:
    """Whether nodes meet needs, asked once for all nodes that say the same."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[tuple[int, Need], bool] = {}

    def meets(self, node: SiteNode, need: Need) -> bool:
        key = (id(node.traits), need)
        if key not in self._known:
            self._known[key] = need.met_by(self._site.offers(node, need.subsystem))
        return self._known[key]


def _subsystems_to_json(subsystems: Subsystems) -> dict[str, list[Traits]]:
    return {name: list(vertices) for name, vertices in subsystems.items()}


def _subsystems_from_json(value: Mapping[str, Any]) -> Subsystems:
    def vertex(traits: Mapping[str, Any]) -> Traits:
        return {k: tuple(v) if isinstance(v, list) else v for k, v in traits.items()}

    return {name: tuple(vertex(v) for v in vertices) for name, vertices in value.items()}
