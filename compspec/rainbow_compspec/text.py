"""Small readers for what the kernel writes in /proc and /sys. Pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

_DIGITS = re.compile(r"(\d+)")

GIB = 1 << 30
UNITS = {"": 1, "K": 1 << 10, "KB": 1 << 10, "M": 1 << 20, "MB": 1 << 20, "G": GIB}
"""Suffixes of sizes in /proc and /sys; all of them are powers of two there."""


def printable(text: str) -> str:
    """Returns a line with control characters escaped: a name in it cannot steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """Returns a sort key that puts cpu2 before cpu10."""
    return tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part)
        for part in _DIGITS.split(name)
        if part
    )


def integer(text: str | None) -> int | None:
    """Reads a decimal or 0x number; None for anything else (`max`, `-`, nothing)."""
    if text is None:
        return None
    try:
        return int(text.strip(), 0)
    except ValueError:
        pass
    try:
        return int(text.strip())  # a leading zero: 007 is not a Python literal
    except ValueError:
        return None


def size(text: str | None) -> int | None:
    """Reads `24682416 kB` or `512K` as bytes; None for anything else."""
    found = re.fullmatch(r"\s*(\d+)\s*([a-zA-Z]*)\s*", text or "")
    if found is None or found[2].upper() not in UNITS:
        return None
    return int(found[1]) * UNITS[found[2].upper()]


def cpu_list(text: str | None) -> tuple[int, ...]:
    """Reads the kernel's list format, `0-3,8,10-11` (cpuset(7)).

    Parts that are not numbers are left out, so one odd entry does not cost the rest.
    """
    cpus: set[int] = set()
    for part in (text or "").replace("\n", ",").split(","):
        first, dash, last = part.strip().partition("-")
        if first.isdigit() and (last.isdigit() or not dash):
            cpus.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(cpus))


def cpu_mask(text: str | None) -> tuple[int, ...]:
    """Reads the kernel's mask format, `00000000,00000440`: 32 CPUs a word, the highest first."""
    digits = (text or "").replace(",", "").strip()
    if not re.fullmatch(r"[0-9a-fA-F]+", digits):
        return ()
    bits = int(digits, 16)
    return tuple(cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1)


def format_cpus(cpus: Iterable[int]) -> str:
    """Writes CPU numbers in the kernel's list format."""
    runs: list[list[int]] = []
    for cpu in sorted(set(cpus)):
        if runs and cpu == runs[-1][1] + 1:
            runs[-1][1] = cpu
        else:
            runs.append([cpu, cpu])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def pairs(text: str, separator: str = ":") -> dict[str, str]:
    """Reads `key: value` lines; lines without the separator are left out, the first key wins."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, mark, value = line.partition(separator)
        if mark and key.strip():
            found.setdefault(key.strip(), value.strip())
    return found


def tokens(fields: Mapping[str, object]) -> str:
    """Writes `socket=0 numa=1`: a table entry in node JSON, whose values must be strings.

    Fields without a value (None, empty, False) are left out; True is `yes`.
    """
    written = {
        key: "yes" if value is True else str(value)
        for key, value in fields.items()
        if (value is not None and value is not False and value != "")
    }
    return " ".join(f"{key}={value.replace(' ', '_')}" for key, value in written.items())


def untokens(text: str) -> dict[str, str]:
    """Reads what `tokens` wrote."""
    return dict(part.partition("=")[::2] for part in text.split())
