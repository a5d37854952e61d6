"""From a setting's text to its value; a ValueError says what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
#: rainbow (075ee23, pkg/database) asks `name LIKE "..."`, and sqlite reads these as columns.
_COLUMNS = frozenset({"name", "token", "secret", "rowid", "oid"})


@dataclass(frozen=True)
class Secret:
    """A value that never shows itself; `reveal()` is the one way to it."""

    _value: str = field(repr=False)

    def reveal(self) -> str:
        """The secret text."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)


def text(value: str) -> str:
    """Any text."""
    return value


def secret(value: str) -> Secret:
    """A secret, without white space at its ends."""
    return Secret(value.strip())


def path(value: str) -> Path:
    """A path; `~` is the user's home."""
    return Path(value).expanduser()


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


def one_of(*names: str) -> Callable[[str], str]:
    """A parser of one of these words, in any case."""

    def parse(value: str) -> str:
        if value.lower() not in names:
            raise ValueError(f"must be one of {', '.join(names)}")
        return value.lower()

    return parse


def host(value: str) -> str:
    """host:port, to connect to."""
    name, _, port = value.rpartition(":")
    if not name or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("must be host:port, for example rainbow.default.svc:8080")
    return value


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str
    port: int  # 0: any that is free

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def listen(value: str) -> Address | None:
    """host:port to listen on; None for `off`."""
    if value.lower() == "off":
        return None
    host, colon, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be host:port, for example 127.0.0.1:8788 or [::]:8788, or off")
    return Address(host or "0.0.0.0", int(port))  # noqa: S104 - as asked for


def cluster(value: str) -> str:
    """A cluster's name: a DNS-1123 label that rainbow's database takes for a name."""
    if not _LABEL.fullmatch(value):
        raise ValueError(
            "is not a cluster name: use 1 to 63 of a-z, 0-9 and '-', beginning and ending with"
            " a letter or digit"
        )
    if value in _COLUMNS:
        raise ValueError(
            "is a column of rainbow's database, which takes it for one: choose another"
        )
    return value
