"""Which rack a node is in, from the site's own file: `{rack-a: [blue-0, "blue-[1-15]"], ...}`.

Nothing on a node says where it stands; a site that has racks knows it. Names may have one range of
numbers in brackets, as Flux writes them (RFC 29).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from rainbow_agent.core.errors import UsageError

_RANGE: Final = re.compile(r"(?P<before>[^\[\]]*)\[(?P<numbers>[\d,-]+)\](?P<after>[^\[\]]*)")
_NAME: Final = re.compile(r"[^\s/\"]{1,255}")


@dataclass(frozen=True)
class _Hosts:
    """Hosts of one rack: a name, or names with a number in one of these ranges."""

    before: str
    after: str
    ranges: tuple[tuple[str, str], ...]  # as written: `01` is not `1`

    def has(self, host: str) -> bool:
        if not (host.startswith(self.before) and host.endswith(self.after)):
            return False
        number = host[len(self.before) : len(host) - len(self.after)]
        if not (number.isascii() and number.isdecimal()):
            return False
        return any(_between(number, low, high) for low, high in self.ranges)


def read_racks(path: Path | None) -> Callable[[str], str]:
    """The rack of a node by its name; "" for one that the file does not have.

    Args:
        path: YAML or JSON, a rack's name to its hosts; None where the site knows no racks.

    Raises:
        UsageError: the file cannot be read, or says something else.
    """
    if path is None:
        return lambda _: ""
    named: dict[str, str] = {}
    ranged: list[tuple[_Hosts, str]] = []
    for rack, hosts in _load(path).items():
        if not isinstance(rack, str) or not _NAME.fullmatch(rack):
            raise UsageError(f"{path}: {rack!r} is not a rack's name: write text without spaces")
        for text in hosts if isinstance(hosts, list) else [hosts]:
            found = _hosts(path, rack, text)
            if isinstance(found, str):
                named[found] = rack
            else:
                ranged.append((found, rack))

    def rack_of(host: str) -> str:
        here = (rack for hosts, rack in ranged if hosts.has(host))
        return named.get(host) or next(here, "")

    return rack_of


def _load(path: Path) -> Mapping[Any, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"{path}: cannot read the racks (RAINBOW_RACKS): {exc}") from exc
    except yaml.MarkedYAMLError as exc:
        line = f"line {exc.problem_mark.line + 1}: " if exc.problem_mark else ""
        raise UsageError(
            f"{path}: {line}the racks (RAINBOW_RACKS) are not YAML: {exc.problem}"
        ) from exc
    except (yaml.YAMLError, RecursionError) as exc:
        raise UsageError(f"{path}: the racks (RAINBOW_RACKS) are not YAML") from exc
    if not isinstance(document, dict):
        raise UsageError(
            f"{path}: write racks with their hosts, such as `r1: [blue-0, 'blue-[1-7]']`"
        )
    return document


def _hosts(path: Path, rack: str, text: object) -> str | _Hosts:
    if isinstance(text, str) and "[" not in text and "]" not in text and text:
        return text
    match = _RANGE.fullmatch(text) if isinstance(text, str) else None
    ranges = [part.split("-") for part in match["numbers"].split(",")] if match else []
    if match is None or not all(1 <= len(part) <= 2 and all(part) for part in ranges):
        raise UsageError(
            f"{path}: {rack}: {text!r} is not a host: write a name, or one with a range:"
            " 'blue-[0-15]'"
        )
    return _Hosts(match["before"], match["after"], tuple((part[0], part[-1]) for part in ranges))


def _between(number: str, low: str, high: str) -> bool:
    """As hostlists do: a range that begins with a zero has numbers of its width."""
    width = len(low) if low.startswith("0") else 0
    padded = str(int(number)).zfill(width)
    return number == padded and int(low) <= int(number) <= int(high)
