"""Every value that a probe can give, and what can be written for it: the schema of our sections.

A key is written as in docs/compspec.md: `<n>` stands for a number, `<name>` for a name, which may
have dots in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Final

from rainbow_compspec.text import untokens

#: Cores, sockets or GPUs of one node at most: a graph has a vertex for each.
MAX_PIECES: Final = 1 << 16
#: What is no vertex: what Go and sqlite hold, too.
MAX_NUMBER: Final = (1 << 63) - 1


@dataclass(frozen=True)
class Kind:
    """What can be written for a value."""

    what: str  # in words
    example: str
    fits: Callable[[str], bool]


def _whole(least: int, most: int) -> Callable[[str], bool]:
    # Before int(): it takes other alphabets' digits, and refuses to read long ones.
    return lambda text: bool(re.fullmatch(r"[0-9]{1,19}", text)) and least <= int(text) <= most


def _matches(pattern: str) -> Callable[[str], bool]:
    return lambda text: bool(re.fullmatch(pattern, text, re.ASCII))


def _row(needed: str, **fields: Callable[[str], bool]) -> Callable[[str], bool]:
    """A row of a table, `socket=0 numa=1`: one field is needed, and all are known."""

    def fits(text: str) -> bool:
        words = text.split()
        row = untokens(text)
        return (
            needed in row
            and len(row) == len(words)
            and all("=" in word for word in words)
            and all(name in fields and fields[name](value) for name, value in row.items())
        )

    return fits


_number = _whole(0, MAX_NUMBER)
_cpus = _matches(r"\d{1,6}(-\d{1,6})?(,\d{1,6}(-\d{1,6})?)*")
_word = _matches(r"\S+")

PIECES: Final = Kind(f"a whole number from 1 to {MAX_PIECES}", "16", _whole(1, MAX_PIECES))
COUNT: Final = Kind(f"a whole number from 0 to {MAX_PIECES}", "2", _whole(0, MAX_PIECES))
NUMBER: Final = Kind("a whole number, 0 or more", "1500", _number)
BYTES: Final = Kind("bytes, in digits alone", "68719476736 for 64 GiB", _number)
DECIMAL: Final = Kind("a number, 0 or more", "3.5", _matches(r"\d{1,19}(\.\d{1,9})?"))
YES_NO: Final = Kind("yes or no", "yes", lambda text: text in ("yes", "no"))
CPU_LIST: Final = Kind("a list of CPU numbers", "0-3,8", _cpus)
RATE: Final = Kind("a rate with its unit", "200 Gb/sec", _matches(r"\d{1,9}(\.\d+)? Gb/sec.*"))
TEXT: Final = Kind("one line of text", "", str.isprintable)
CORE: Final = Kind(
    "a core's place",
    "socket=0 numa=0 cpus=0,64",
    _row("socket", socket=COUNT.fits, numa=COUNT.fits, cpus=_cpus),
)
PACKAGE: Final = Kind(
    "a package",
    "name=ior version=3.3.0 compiler=gcc@12.3.0 target=zen3 explicit=yes",
    _row(
        "name",
        name=_word,
        version=_word,
        compiler=_word,
        target=_word,
        explicit=YES_NO.fits,
        environment=_word,
    ),
)

KEYS: Final[Mapping[str, Mapping[Kind, str]]] = {
    "cpu": {
        TEXT: "arch machine vendor model model.id family stepping part features"
        " target target.generic target.family",
        PIECES: "cores sockets threads cores.machine sockets.machine threads.machine",
        COUNT: "numa numa.machine cache.<name>.shared",
        YES_NO: "smt virtual",
        BYTES: "cache.<name>.size",
        NUMBER: "frequency.max frequency.min frequency.base frequency.now",
        CPU_LIST: "offline isolated",
        CORE: "core.<n>",
    },
    "memory": {
        BYTES: "total usable limit gpus swap hugepage numa.<n>.total",
        NUMBER: "hugepages.<n>.count",
    },
    "gpu": {
        COUNT: "count cards <n>.index <n>.numa",
        YES_NO: "partitioned",
        BYTES: "<n>.memory",
        TEXT: "vendor model <n>.vendor <n>.model <n>.uuid <n>.driver <n>.pci <n>.partition"
        " <n>.card",
    },
    "os": {TEXT: "name version release vendor codename kernel kernel.version hostname"},
    "network": {
        TEXT: "interfaces rdma <name>.type <name>.state <name>.driver"
        " rdma.<name>.model rdma.<name>.firmware rdma.<name>.driver"
        " rdma.<name>.port.<n>.transport rdma.<name>.port.<n>.state",
        NUMBER: "<name>.speed <name>.mtu",
        COUNT: "<name>.numa rdma.<name>.numa",
        RATE: "rdma.<name>.port.<n>.rate",
    },
    "storage": {
        TEXT: "disks <name>.kind <name>.model <name>.type",
        BYTES: "<name>.size <name>.free <name>.total",
    },
    "mpi": {TEXT: "implementation version launcher"},
    "spack": {
        TEXT: "root tree database database.version upstreams environment",
        NUMBER: "count explicit environment.count environment.missing",
        PACKAGE: "package.<name>",
    },
    "modules": {TEXT: "system version path loaded module.<name>", NUMBER: "count"},
    "cgroup": {
        TEXT: "version path",
        CPU_LIST: "cpuset affinity",
        PIECES: "affinity.count",
        DECIMAL: "cpu.quota",
        BYTES: "memory.limit",
        NUMBER: "pids.limit",
    },
}
"""Probe -> kind -> the keys of that kind, parted by spaces."""


def kind_of(probe: str, key: str) -> Kind | None:
    """What can be written for a key of a probe; None if there is no such key."""
    return next((kind for pattern, kind in _patterns(probe) if pattern.fullmatch(key)), None)


def alike(probe: str, key: str) -> str:
    """The key that may have been meant, or all that there are."""
    keys = " ".join(KEYS[probe].values()).split()
    close = get_close_matches(re.sub(r"(?<![^.])\d+(?![^.])", "<n>", key), keys, n=1)
    return f"perhaps {close[0]} is meant" if close else f"there are {', '.join(keys)}"


@cache
def _patterns(probe: str) -> tuple[tuple[re.Pattern[str], Kind], ...]:
    """Those without a name first: `rdma.x.driver` is not the driver of an interface `rdma.x`."""
    written = [(key, kind) for kind, keys in KEYS[probe].items() for key in keys.split()]
    written.sort(key=lambda item: ("<name>" in item[0], -len(item[0])))
    return tuple((_pattern(key), kind) for key, kind in written)


def _pattern(key: str) -> re.Pattern[str]:
    text = re.escape(key).replace("<n>", r"\d{1,19}").replace("<name>", ".+")
    return re.compile(text, re.ASCII)
