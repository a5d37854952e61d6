"""What rainbow's matcher is asked about a job: questions, and how their answers go together.

The matcher (075ee23) says which clusters have a list of resources, all of them, each by itself.
Of a resource it understands the types node, core and gpu, a `count`, and one entry of `requires`:
of two it may keep the last. So everything else is said here: `AllOf` is the clusters that every
part names, `AnyOf` those that one of them does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Ask:
    """One resource in the matcher's own form."""

    resource: Mapping[str, Any]
    what: str  # what is asked for, for people


@dataclass(frozen=True)
class Versions:
    """A range of versions of a package of which a node may have several.

    A node's vertex says the newest under the package's name, and older ones under `NAME#2`,
    `NAME#3` and so on, as far as there are any (rainbow_compspec.subsystems).
    """

    node: Mapping[str, Any]  # what is asked of the node itself
    subsystem: str
    package: str
    bounds: Mapping[str, str]  # `min`, `max` or both
    what: str

    def asks(self) -> Iterator[tuple[Ask, Ask]]:
        """The n-th newest version in the range, and whether there is an n+1-th: n = 1, 2, ..."""
        place = 1
        while True:
            here, there = _field(self.package, place), _field(self.package, place + 1)
            yield (
                required(self.node, self.subsystem, {"field": here, **self.bounds}, self.what),
                required(self.node, self.subsystem, {"field": there, **ANY_VERSION}, self.what),
            )
            place += 1


@dataclass(frozen=True)
class IfStated:
    """The clusters that have something, and those that do not say how much they have."""

    enough: Ask
    stated: Ask

    @property
    def what(self) -> str:
        """What is asked for, for people."""
        return self.enough.what


@dataclass(frozen=True)
class Nothing:
    """No cluster: what can never be met."""

    what: str


@dataclass(frozen=True)
class AllOf:
    """The clusters that every part names; without parts, all of them."""

    parts: tuple[Question, ...] = ()


@dataclass(frozen=True)
class AnyOf:
    """The clusters that at least one part names."""

    parts: tuple[Question, ...]


Question = Ask | Versions | IfStated | Nothing | AllOf | AnyOf

#: The bounds that every version passes, pre-releases as well.
ANY_VERSION: Mapping[str, str] = {"min": "0.0.0-0"}


def required(node: Mapping[str, Any], subsystem: str, entry: Mapping[str, str], what: str) -> Ask:
    """Nodes that meet one entry of `requires`."""
    return Ask({**node, "requires": [{"name": subsystem, **entry}]}, what)


def _field(package: str, place: int) -> str:
    return package if place == 1 else f"{package}#{place}"
