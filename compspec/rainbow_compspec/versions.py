"""The order of spack's versions, as far as rainbow can use it.

Components are compared one by one, a number is newer than letters (spack's packaging guide,
"Version comparison"). Spack also takes branches (`develop`, `main`) for newer than any number; here
they are letters like others, so the newest *numbered* version wins: rainbow compares semantic
versions, and for `develop` it would find no range that fits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

#: What rainbow's matcher can compare with a range (Masterminds' semver, which fills in numbers).
_SEMANTIC = re.compile(
    r"v?\d+(\.\d+){0,2}(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)
_COMPONENT = re.compile(r"\d+|[a-zA-Z]+")


def order(version: str) -> tuple[tuple[int, int, str], ...]:
    """Returns a sort key: 1.9 before 1.10, 1.a before 1.0."""
    return tuple(
        (1, int(part), "") if part.isdecimal() else (0, 0, part)
        for part in _COMPONENT.findall(version)
    )


def newest(versions: Iterable[str]) -> str:
    """The newest of one or more versions; a branch only where there is nothing else."""
    return max(versions, key=lambda version: (order(version), version))


def comparable(version: str) -> bool:
    """Whether rainbow can tell if the version lies in a range."""
    return _SEMANTIC.fullmatch(version) is not None


def older(versions: Iterable[str]) -> list[str]:
    """All but the newest, those that rainbow can compare, the newest first."""
    every = set(versions)
    rest = [version for version in every - {newest(every)} if comparable(version)]
    return sorted(rest, key=lambda version: (order(version), version), reverse=True)
