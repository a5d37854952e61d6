"""What `status` says of the graphs that rainbow has of this cluster: each as it was sent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from rainbow_agent.inventory.description import ClusterDescription, Sendable

#: The server's name for the cluster graph among the subsystems.
DOMINANT: Final = "cluster"


@dataclass(frozen=True)
class SentGraphs:
    """By name, as `status` shows them. Replaced, never changed."""

    parts: Mapping[str, Mapping[str, Any]]

    @classmethod
    def from_note(cls, note: Any) -> SentGraphs:
        """From JSON; an older version kept nothing."""
        parts = note.get("sent") if isinstance(note, Mapping) else None
        if not isinstance(parts, Mapping):
            return cls({})
        return cls({name: part for name, part in parts.items() if isinstance(part, Mapping)})

    def graph(self, text: str, description: ClusterDescription | None, at: float) -> SentGraphs:
        """The cluster's graph was sent, and no subsystem is on it.

        Args:
            text: what was sent.
            description: the cluster as it is now; it may be another than what was sent.
            at: epoch seconds.
        """
        same = description is not None and description.graph.text == text
        if description is None or not same:
            return SentGraphs({DOMINANT: {"bytes": len(text), "sent": at}})
        nodes = len(description.survey.counted)
        return SentGraphs({DOMINANT: {**_facts(description.graph, at), "nodes": nodes}})

    def subsystem(self, part: Sendable, at: float) -> SentGraphs:
        """A subsystem was sent."""
        return SentGraphs({**self.parts, part.name: _facts(part, at)})

    def without(self, names: Iterable[str]) -> SentGraphs:
        """Subsystems were removed."""
        gone = set(names)
        return replace(self, parts={n: each for n, each in self.parts.items() if n not in gone})

    def view(
        self, description: ClusterDescription | None, unsent: Iterable[str]
    ) -> dict[str, Any] | None:
        """The `graph` object of `status`; None while nothing is known.

        Args:
            description: the cluster as it is now.
            unsent: the parts of it that rainbow does not have like this.
        """
        names = sorted(set(unsent))
        following = _next(description, names) if description and names else None
        if DOMINANT not in self.parts:
            return None if description is None else {**_unsent(description), "next": following}
        subsystems = {n: part for n, part in self.parts.items() if n != DOMINANT}
        return {
            "form": None,
            "note": None,
            "nodes": None,
            **self.parts[DOMINANT],
            "subsystems": subsystems,
            "next": following,
        }


def _next(description: ClusterDescription, names: list[str]) -> dict[str, Any]:
    """What is sent as soon as it can be."""
    nodes = len(description.survey.counted)
    return {"nodes": nodes, "bytes": len(description.graph.text), "parts": names}


def _unsent(description: ClusterDescription) -> dict[str, Any]:
    return {
        **_facts(description.graph, None),
        "nodes": len(description.survey.counted),
        "subsystems": {part.name: _facts(part, None) for part in description.subsystems},
    }


def _facts(part: Sendable, at: float | None) -> dict[str, Any]:
    return {"form": part.form, "note": part.note, "bytes": len(part.text), "sent": at}
