"""What a probe answers: values, where they come from, and how sure it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TypeVar


class Confidence(str, Enum):
    """How sure a value is."""

    MEASURED = "measured"  # the kernel, a driver or a program says so
    DERIVED = "derived"  # computed from what was measured
    GUESSED = "guessed"  # a common default, or a place where such things often are
    GIVEN = "given"  # the operator said so


class Status(str, Enum):
    """How a probe ended."""

    OK = "ok"
    ABSENT = "absent"  # a normal answer: there is none here
    FAILED = "failed"  # the machine could not be read; the reason says why


@dataclass(frozen=True)
class Origin:
    """Where a value comes from."""

    source: str  # what was read: files, a command, a library; `override` for the operator's word
    confidence: Confidence = Confidence.MEASURED

    def __str__(self) -> str:
        return f"{self.confidence.value}: {self.source}"


@dataclass(frozen=True)
class Choice:
    """Why a value is what it is, where something else was there too."""

    why: str  # why this one won
    others: tuple[tuple[str, str], ...] = ()  # source -> what it says


UNOPPOSED = Choice("")
"""Nothing else was there."""

NOWHERE = Origin("")
"""The origin of a reading without values."""


@dataclass(frozen=True)
class Reading:
    """One probe's answer. Keys have dots in them: `cache.l3.size`, `0.model`."""

    probe: str
    values: Mapping[str, str] = field(default_factory=dict)
    origin: Origin = NOWHERE
    status: Status = Status.OK
    reason: str = ""  # why it failed, or what is absent
    origins: Mapping[str, Origin] = field(default_factory=dict)  # keys that differ from `origin`,
    # or what they begin with: `numa` is for `numa.0.total`, too
    choices: Mapping[str, Choice] = field(default_factory=dict)  # keys, and tables
    tables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # core, package
    warnings: tuple[str, ...] = ()  # what went wrong without costing the rest

    @classmethod
    def failed(cls, probe: str, reason: str) -> Reading:
        """Returns the reading of a probe that could not read the machine."""
        return cls(probe, status=Status.FAILED, reason=reason)

    @classmethod
    def absent(cls, probe: str, reason: str, **values: str) -> Reading:
        """Returns the reading of a probe that looked, and there is none."""
        return cls(probe, values=values, status=Status.ABSENT, reason=reason)

    @property
    def source(self) -> str:
        """What the probe read."""
        return self.origin.source

    @property
    def confidence(self) -> Confidence:
        """How sure its values are, unless `origins` says otherwise for one."""
        return self.origin.confidence

    def overridden(self, given: Mapping[str, str]) -> Reading:
        """Returns this reading with the operator's values in place of what was found.

        Args:
            given: key -> value; a key `core.0` reaches into the table `core`.
        """
        if not given:
            return self
        values, tables = dict(self.values), {name: dict(rows) for name, rows in self.tables.items()}
        choices = dict(self.choices)
        for key, value in given.items():
            choices[key] = self._overruled(key)
            table, _, row = key.partition(".")
            if row and table in tables:
                tables[table][row] = value
            else:
                values[key] = value
        override = Origin("override", Confidence.GIVEN)
        return replace(
            self,
            values=values,
            tables=tables,
            origins={**self.origins, **dict.fromkeys(given, override)},
            choices=choices,
        )

    def origin_of(self, key: str) -> Origin:
        """Returns where the value of a key comes from."""
        return _longest(self.origins, key) or self.origin

    def choice_of(self, key: str) -> Choice | None:
        """Returns what else was there for a key, or for a table; None if nothing was."""
        return self.choices.get(key)

    def _overruled(self, key: str) -> Choice:
        """Returns the operator's choice over what was found, if anything was."""
        table, _, row = key.partition(".")
        found = self.values.get(key) or self.tables.get(table, {}).get(row)
        before = self.choice_of(key)
        others = ((str(self.origin_of(key)), found),) if found else ()
        return Choice("the operator said so", others + (before.others if before else ()))


_Found = TypeVar("_Found")


def _longest(entries: Mapping[str, _Found], key: str) -> _Found | None:
    """Returns the entry of a key, or of the longest part that it begins with, up to a dot."""
    while key and key not in entries:
        key = key.rpartition(".")[0]
    return entries.get(key)


def known(**values: object) -> dict[str, str]:
    """Returns the values that are known, as strings; `_` in a name is a dot in the key.

    None and the empty string mean "not known" and are left out; True and False are `yes` and `no`.
    """
    words = {True: "yes", False: "no"}
    return {
        key.replace("_", "."): words[value] if isinstance(value, bool) else str(value)
        for key, value in values.items()
        if value is not None and value != ""
    }
