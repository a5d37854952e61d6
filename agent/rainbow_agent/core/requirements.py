"""What a jobspec's `requires` asks of a node, and whether what is known of a node meets it.

One place for it: the agent asks it of its own nodes, the embedded scheduler of every cluster's
graph. An entry names a subsystem and then asks in one of two ways (compspec/jobspec, spec.md):

- `field` with `match`, or with `min` and `max`: a vertex of the subsystem has this element, and it
  equals, or lies in the range of semantic versions;
- `attribute` with `value` (or `min` and `max`): a vertex that has `field: match`, such as type
  package, has this attribute as well.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rainbow_agent.core.shape import Shape

_VERSION_PATTERN: Final = re.compile(
    r"v?(\d{1,18})(?:\.(\d{1,18}))?(?:\.(\d{1,18}))?"
    r"(?:-([0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)


@dataclass(frozen=True)
class Version:
    """A version; `parts` has as many numbers as were written."""

    parts: tuple[int, ...]
    prerelease: tuple[tuple[int, int, str], ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """The three numbers; those not written are 0."""
        return (*self.parts, 0, 0)[:3]

    def key(self) -> tuple[tuple[int, ...], bool, tuple[tuple[int, int, str], ...]]:
        """Orders versions: a pre-release comes before its release (semver.org, item 11)."""
        return self.numbers, not self.prerelease, self.prerelease


def parse(text: str) -> Version | None:
    """The version in a text; None when it is none."""
    match = _VERSION_PATTERN.fullmatch(text.strip())
    if match is None:
        return None
    *numbers, tail = match.groups()
    return Version(
        parts=tuple(int(n) for n in numbers if n is not None),
        prerelease=tuple(_identifier(part) for part in tail.split(".")) if tail else (),
    )


def within(text: str, low: str, high: str) -> bool:
    """Whether a version lies from `low` to `high`, both included; "" means no bound.

    What is not a version lies in no range.
    """
    version = parse(text)
    return (
        version is not None
        and (not low or _at_least(version, parse(low)))
        and (not high or _at_most(version, parse(high)))
    )


def _at_least(version: Version, bound: Version | None) -> bool:
    if bound is None or (version.prerelease and not bound.prerelease):
        return False
    return version.key() >= bound.key()


def _at_most(version: Version, bound: Version | None) -> bool:
    if bound is None or (version.prerelease and not bound.prerelease):
        return False
    if len(bound.parts) < 3:
        return version.numbers[: len(bound.parts)] <= bound.parts
    return version.key() <= bound.key()


def _identifier(part: str) -> tuple[int, int, str]:
    """Numbers compare as numbers and come before words (semver.org, item 11.4)."""
    return (0, int(part), "") if part.isdigit() else (1, 0, part)


#: What a vertex says: a text, or several where it has several (versions of one package).
Traits = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Need:
    """One entry of `requires`. Empty texts ask nothing."""

    subsystem: str
    field: str = ""
    equals: str = ""
    low: str = ""
    high: str = ""
    attribute: str = ""
    value: str = ""
    where: str = dataclasses.field(
        default="", compare=False
    )  # its place in the jobspec, for people

    def met_by(self, vertices: Iterable[Traits]) -> bool:
        """Whether one of a subsystem's vertices meets it."""
        return any(self._met_by(vertex) for vertex in vertices)

    def _met_by(self, vertex: Traits) -> bool:
        texts = texts_of(vertex, self.field)
        if not self.attribute:
            return any(_fits(text, self.equals, self.low, self.high) for text in texts)
        if self.field and not any(_fits(text, self.equals, "", "") for text in texts):
            return False
        found = texts_of(vertex, self.attribute)
        return any(_fits(text, self.value, self.low, self.high) for text in found)

    @property
    def key(self) -> str:
        """The element whose value decides."""
        return self.attribute or self.field

    def candidates(self, vertices: Iterable[Traits]) -> list[str]:
        """The values that were looked at, for people: of vertices that are of the right kind."""
        kind = self.equals if self.attribute and self.field else ""
        found: dict[str, None] = {}
        for vertex in vertices:
            if not kind or kind in texts_of(vertex, self.field):
                found.update(dict.fromkeys(texts_of(vertex, self.key)))
        return list(found)


#: Lists of needs; a node passes if it meets all of one list. No lists at all: every node passes.
Choices = Sequence[Sequence[Need]]


def texts_of(vertex: Traits, name: str) -> tuple[str, ...]:
    """The values of an element as texts; none where it is missing."""
    if name not in vertex:
        return ()
    value = vertex[name]
    if isinstance(value, tuple):
        return value
    return (value if isinstance(value, str) else json.dumps(value),)


def _fits(text: str, equals: str, low: str, high: str) -> bool:
    if equals and text != equals:
        return False
    return not (low or high) or within(text, low, high)


@dataclass(frozen=True)
class Option:
    """One way to run a task: resources, and what their nodes must have."""

    resources: str  # what the jobspec calls them
    shape: Shape
    jobspec: Mapping[str, Any]  # Flux's own, as in PlannedTask
    choices: tuple[tuple[Need, ...], ...] = ()  # as in Choices
    where: str = ""  # its place in the jobspec, for people
    #: Ranks that pass, once the nodes were looked at; None: not looked up, or nothing is asked.
    ranks: tuple[int, ...] | None = None
