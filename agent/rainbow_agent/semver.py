"""Semantic versions as the rainbow server compares them.

Lenient as Masterminds/semver 3.2 (which the Go server uses) is: `v1.2` is 1.2.0, and a version
with more than three numbers is none. A pre-release is inside a range only if the bound is one
too; a bound of fewer numbers covers all that begins with it (`max: 4` takes 4.9).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

_VERSION: Final = re.compile(
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
    match = _VERSION.fullmatch(text.strip())
    if match is None:
        return None
    *numbers, tail = match.groups()
    return Version(
        parts=tuple(int(n) for n in numbers if n is not None),
        prerelease=tuple(_identifier(part) for part in tail.split(".")) if tail else (),
    )


def within(text: str, low: str, high: str) -> bool:
    """Whether a version lies from `low` to `high`, both included; "" is no bound.

    What is no version lies in no range.
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
