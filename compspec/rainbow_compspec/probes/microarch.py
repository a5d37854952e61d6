"""The CPU's microarchitecture by `archspec`, the field's own library (spack uses it too).

archspec.cpu.host() looks at the machine it runs on; a recorded one is judged by the same rules
(archspec's compatibility checks, its database, its order) over what was recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from archspec.cpu import TARGETS
from archspec.cpu.detect import COMPATIBILITY_CHECKS, partial_uarch
from archspec.cpu.schema import TARGETS_JSON


@dataclass(frozen=True)
class Microarchitecture:
    """A name in archspec's database."""

    name: str  # zen3, icelake, neoverse_v1
    generic: str  # the best generic one below it: x86_64_v4, aarch64
    family: str  # x86_64, aarch64, ppc64le


def detect(
    machine: str, vendor: str, features: Iterable[str], part: str = "", generation: int = 0
) -> Microarchitecture:
    """Finds the best match for a CPU.

    Args:
        machine: uname's word for it: x86_64, aarch64, ppc64le.
        vendor: GenuineIntel, AuthenticAMD; archspec's name of the implementer for arm64.
        features: the flags in /proc/cpuinfo.
        part: `CPU part` in /proc/cpuinfo (arm64).
        generation: 9 for POWER9.

    Returns:
        The match; the family itself where archspec knows no better.
    """
    return _detect(machine, vendor, frozenset(features), part, generation)


def arm_vendor(code: str) -> str:
    """Returns the name behind an arm64 `CPU implementer`, 0x41; the code itself if unknown."""
    vendors: dict[str, str] = TARGETS_JSON["conversions"]["arm_vendors"]
    return vendors.get(code, code)


@lru_cache(maxsize=64)
def of_part(vendor: str, part: str) -> str:
    """Returns archspec's name for an arm64 core, by its vendor and the number of the part."""
    same = (each for each in TARGETS.values() if (each.vendor, each.cpu_part) == (vendor, part))
    return next((each.name for each in same), "")


@lru_cache(maxsize=64)  # a cluster has few kinds of CPU, and their feature lists are long
def _detect(
    machine: str, vendor: str, features: frozenset[str], part: str, generation: int
) -> Microarchitecture:
    if machine not in TARGETS:
        return Microarchitecture(machine, machine, machine)
    cpu = partial_uarch(vendor=vendor, features=set(features), cpu_part=part, generation=generation)
    compatible = _CHECKS.get(machine) or COMPATIBILITY_CHECKS.get(
        machine, lambda _cpu, _target: False
    )
    best = _best([target for target in TARGETS.values() if compatible(cpu, target)], part)
    best = TARGETS[machine] if best is None else best
    return Microarchitecture(best.name, best.generic.name, best.family.name)


def _runs_on_power(root: str) -> Callable[[Any, Any], bool]:
    """Archspec's own rule asks the machine that it runs on, not the one that was recorded."""

    def check(cpu: Any, target: Any) -> bool:
        of_family = target.name == root or TARGETS[root] in target.ancestors
        return of_family and bool(target.generation <= cpu.generation)

    return check


_CHECKS = {machine: _runs_on_power(machine) for machine in ("ppc64", "ppc64le")}


def _best(candidates: list[Any], part: str) -> Any | None:
    """Picks the most specific target that lies above the best generic one."""

    def rank(target: Any) -> tuple[int, int]:
        return len(target.ancestors), len(target.features)

    generics = [target for target in candidates if target.vendor == "generic"]
    if not generics:
        return None
    generic = max(generics, key=rank)
    same_part = [target for target in candidates if part and target.cpu_part == part]
    above = [target for target in (same_part or candidates) if target > generic]
    return max(above, key=rank) if above else generic
