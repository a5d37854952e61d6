"""From a setting's text to its value; a ValueError says what is wrong with it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

from rainbow_agent.runtime import addresses
from rainbow_agent.runtime.addresses import Address

_CLUSTER_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
#: rainbow (075ee23, pkg/database) asks `name LIKE "..."`, and sqlite reads these as columns.
_COLUMNS = frozenset({"name", "token", "secret", "rowid", "oid"})

_AGE = re.compile(r"(\d{1,6}(?:\.\d{1,3})?)([smhd])")
#: Seconds of each unit.
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Secret:
    """A value that never shows itself; `reveal()` is the one way to it."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The secret text."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)


_SIZE = re.compile(r"([0-9]{1,6})([KMGT])", re.ASCII)
_SIZES = {"K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def text(value: str) -> str:
    """Any text."""
    return value


def secret(value: str) -> Secret:
    """A secret, without white space at its ends."""
    return Secret(value.strip())


def path(value: str) -> Path:
    """A path; `~` is the user's home.

    Raises:
        ValueError: there is none.
    """
    try:
        return Path(value).expanduser()
    except RuntimeError as exc:
        raise ValueError("has a `~`, and there is no such home folder: write the path out") from exc


def seconds(value: str) -> float:
    """Seconds above 0."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError("is not a number of seconds") from None
    if not 0 < number < 1e6:
        raise ValueError("must be a number of seconds above 0")
    return number


def count(value: str) -> int:
    """A whole number from 1 to 1,000,000."""
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 1_000_000:
        raise ValueError("must be a whole number from 1 to 1000000")
    return int(value)


def size_or_off(value: str) -> int:
    """Bytes, from a number with a unit (100M, 2G, 64K); 0 for `off`."""
    if value.lower() == "off":
        return 0
    found = _SIZE.fullmatch(value)
    if not found or not int(found[1]):
        raise ValueError("must be a size like 64K, 100M or 2G, or off")
    return int(found[1]) * _SIZES[found[2]]


def size_text(size: int) -> str:
    """What size_or_off() reads as this, in the largest unit that leaves a whole number."""
    for unit, bytes_ in sorted(_SIZES.items(), key=lambda pair: -pair[1]):
        if size and size % bytes_ == 0:
            return f"{size // bytes_}{unit}"
    return "off" if not size else f"{size} bytes"


def count_or_all(value: str) -> int | None:
    """A whole number from 1 to 1,000,000,000; None for `all`."""
    if value.lower() == "all":
        return None
    if not value.isascii() or not value.isdigit() or not 1 <= int(value) <= 1_000_000_000:
        raise ValueError("must be a whole number from 1 to 1000000000, or all")
    return int(value)


def age_or_all(value: str) -> float | None:
    """Seconds, from a number with a unit (30d, 12h, 90m, 45s); None for `all`."""
    if value.lower() == "all":
        return None
    found = _AGE.fullmatch(value)
    if not found or not float(found[1]):
        raise ValueError("must be a time like 30d, 12h, 90m or 45s, or all")
    return float(found[1]) * _UNITS[found[2]]


def age(value: str) -> float:
    """Seconds, from a number with a unit (30d, 12h, 90m, 45s)."""
    found = None if value.lower() == "all" else age_or_all(value)
    if found is None:
        raise ValueError("must be a time like 30d, 12h, 90m or 45s")
    return found


def age_text(seconds: float | None) -> str:
    """What age_or_all() reads as this, in the largest unit that leaves a whole number."""
    if seconds is None:
        return "all"
    for unit, size in sorted(_UNITS.items(), key=lambda pair: -pair[1]):
        if seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.3f}s"


@dataclass(frozen=True)
class OneOf:
    """A parser of one of these words, in any case."""

    names: tuple[str, ...]

    def __call__(self, value: str) -> str:
        """The word.

        Raises:
            ValueError: it is none of them.
        """
        if value.lower() not in self.names:
            raise ValueError(f"must be one of {', '.join(self.names)}")
        return value.lower()


def one_of(*names: str) -> OneOf:
    """A parser of one of these words, in any case."""
    return OneOf(names)


def host(value: str) -> str:
    """host:port, to connect to, in its usual form."""
    return str(addresses.to_connect(value.strip()))


def listen(value: str) -> Address | None:
    """host:port to listen on; None for `off`."""
    if value.lower() == "off":
        return None
    try:
        return addresses.to_listen(value.strip())
    except ValueError as exc:
        raise ValueError(f"{exc}; or off") from None


def cluster(value: str) -> str:
    """A cluster's name: a DNS-1123 label that rainbow's database takes for a name."""
    if not _CLUSTER_LABEL.fullmatch(value):
        raise ValueError(
            "is not a cluster name: use 1 to 63 of a-z, 0-9 and '-', beginning and ending with"
            " a letter or digit"
        )
    if value in _COLUMNS:
        raise ValueError(
            "is a column of rainbow's database, which takes it for one: choose another"
        )
    return value


def number_or_text(value: str) -> float | str:
    """A finite number, or the text that is none."""
    try:
        number = float(value)
    except ValueError:
        return value
    return number if math.isfinite(number) else value  # JSON has no NaN and no infinity
