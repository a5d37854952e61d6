"""What a CPU is called: vendor, model, family, part, features, from any kind of /proc/cpuinfo.

Numbers of Arm parts: Linux's arch/arm64/include/asm/cputype.h.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rainbow_compspec.probes import microarch

Processors = Sequence[Mapping[str, str]]

_PARTS = {
    ("0x41", "0xd03"): "Cortex-A53",
    ("0x41", "0xd05"): "Cortex-A55",
    ("0x41", "0xd07"): "Cortex-A57",
    ("0x41", "0xd09"): "Cortex-A73",
    ("0x41", "0xd0a"): "Cortex-A75",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd41"): "Cortex-A78",
    ("0x41", "0xd42"): "Cortex-A78AE",
    ("0x41", "0xd44"): "Cortex-X1",
    ("0x41", "0xd46"): "Cortex-A510",
    ("0x41", "0xd47"): "Cortex-A710",
    ("0x41", "0xd48"): "Cortex-X2",
    ("0x41", "0xd4d"): "Cortex-A715",
    ("0x41", "0xd4e"): "Cortex-X3",
    ("0x41", "0xd80"): "Cortex-A520",
    ("0x41", "0xd81"): "Cortex-A720",
    ("0x41", "0xd82"): "Cortex-X4",
    ("0x41", "0xd84"): "Neoverse-V3",
    ("0x41", "0xd85"): "Cortex-X925",
    ("0x41", "0xd87"): "Cortex-A725",
    ("0x41", "0xd8e"): "Neoverse-N3",
    ("0x43", "0x0a1"): "ThunderX",
    ("0x48", "0xd01"): "TaiShan-v110",
    ("0x4e", "0x004"): "Carmel",
    ("0x50", "0x000"): "X-Gene",
    ("0x51", "0x001"): "Oryon",
    ("0x51", "0xc00"): "Falkor",
    ("0x61", "0x023"): "Firestorm",
    ("0x61", "0x024"): "Icestorm-Pro",
    ("0x61", "0x025"): "Firestorm-Pro",
    ("0x61", "0x028"): "Icestorm-Max",
    ("0x61", "0x029"): "Firestorm-Max",
    ("0x61", "0x033"): "Avalanche",
}
"""Implementer and part -> name, for those that archspec does not name."""


@dataclass(frozen=True)
class Names:
    """One machine's CPU."""

    vendor: str
    model: str  # empty if neither the kernel nor a table names it
    family: str
    part: str  # of the first CPU; `CPU part` on arm64
    features: str  # that every CPU has
    mixed: bool = False  # whether the machine has cores of several kinds
    by_part: bool = False  # whether the model comes from the number of the part


def names(processors: Processors, machine: str) -> Names:
    """Names the CPU of a machine.

    Args:
        processors: the blocks of /proc/cpuinfo.
        machine: uname's word for it.
    """
    first = {key.lower(): value for key, value in (processors[0] if processors else {}).items()}
    implementer = first.get("cpu implementer", "")
    vendor = first.get("vendor_id") or (microarch.arm_vendor(implementer) if implementer else "")
    if not vendor and machine.startswith("ppc"):
        vendor = "IBM"
    parts = tuple(
        dict.fromkeys(
            (block["CPU implementer"], block["CPU part"])
            for block in processors
            if "CPU part" in block and "CPU implementer" in block
        )
    )
    written = first.get("model name") or first.get("cpu") or first.get("uarch") or _s390(first)
    return Names(
        vendor=vendor,
        model=written or "/".join(_part(*part) for part in parts),
        family=first.get("cpu family") or first.get("cpu architecture") or "",
        part=first.get("cpu part", ""),
        features=_common_features(processors),
        mixed=len(parts) > 1,
        by_part=bool(parts) and not written,
    )


def _part(implementer: str, part: str) -> str:
    """Names an Arm core: as archspec does, as the kernel does, or by its numbers."""
    vendor = microarch.arm_vendor(implementer)
    known = microarch.of_part(vendor, part) or _PARTS.get((implementer, part))
    return known or f"{vendor} part {part}"


def _common_features(processors: Processors) -> str:
    """Returns the features that every CPU has, in the order of the first that lists any."""
    lists = [
        block.get("flags") or block.get("Features") or block.get("features") or ""
        for block in processors
    ]
    different = [text.split() for text in dict.fromkeys(lists) if text]
    if not different:
        return ""
    common = set(different[0]).intersection(*different[1:])
    return " ".join(feature for feature in different[0] if feature in common)


def _s390(first: Mapping[str, str]) -> str:
    """Returns the type of an IBM Z: `processor 0: version = FF, ..., machine = 3931`."""
    line = next((text for key, text in first.items() if re.fullmatch(r"processor \d+", key)), "")
    found = re.search(r"machine = (\w+)", line)
    return f"IBM Z, machine type {found[1]}" if found else ""
