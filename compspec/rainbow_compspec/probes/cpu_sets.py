"""What holds CPUs together, as the kernel writes it: cores, packages, clusters, caches, domains.

Sources: Linux's Documentation/ABI/stable/sysfs-devices-system-cpu, .../stable/sysfs-devices-node,
Documentation/admin-guide/cputopology.rst.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rainbow_compspec.host import Host
from rainbow_compspec.probes.core_order import Cpus, Distances
from rainbow_compspec.text import cpu_list, cpu_mask, integer

CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"

Processors = Sequence[Mapping[str, str]]
"""The blocks of /proc/cpuinfo."""

_LEVELS = ("die_cpus_list", "cluster_cpus_list", "book_siblings_list", "drawer_siblings_list")
_CACHES = range(1, 5)
"""The caches that several cores may share; index0 is a core's own first-level cache."""

_MODULES = {"21", "22"}
"""AMD's families (Bulldozer to Jaguar) whose modules hold two cores that the kernel calls threads
of each other."""


@dataclass(frozen=True)
class Grouped:
    """The CPUs of every core and of every package."""

    cores: tuple[Cpus, ...]
    packages: tuple[Cpus, ...]
    modules: bool = False  # whether threads of each other were taken for cores


def from_sysfs(host: Host, online: Iterable[int], processors: Processors) -> Grouped | None:
    """Groups CPUs into cores and packages; None if any of them has no topology."""
    wanted = frozenset(online)
    # core_cpus_list is the name since Linux 5.3; the old one is still written
    cores = _sets(host, wanted, "topology", ("thread_siblings_list", "core_cpus_list"))
    if frozenset().union(*cores) != wanted:
        return None
    modules = _are_modules(host, cores, processors)
    if modules:
        cores = [frozenset({cpu}) for cpu in sorted(wanted)]
    return Grouped(tuple(cores), tuple(_packages(host, wanted)), modules)


def from_cpuinfo(processors: Processors) -> Grouped | None:
    """Groups CPUs by `physical id` and `core id`; None if a block has none (arm64)."""
    cores: dict[tuple[int, int], set[int]] = {}
    packages: dict[int, set[int]] = {}
    for block in processors:
        cpu, core = integer(block.get("processor")), integer(block.get("core id"))
        socket = integer(block.get("physical id"))
        if cpu is None or core is None or socket is None:
            return None
        cores.setdefault((socket, core), set()).add(cpu)
        packages.setdefault(socket, set()).add(cpu)
    if not cores:
        return None
    return Grouped(
        tuple(frozenset(cpus) for cpus in cores.values()),
        tuple(frozenset(cpus) for cpus in packages.values()),
    )


def domains(host: Host) -> dict[int, Cpus]:
    """Returns NUMA domain -> its CPUs; empty where the kernel knows of no domains."""
    return {
        node: _cpus(host, f"{NODES}/node{node}/cpulist") for node in host.numbered(NODES, "node")
    }


def distances(host: Host, nodes: Iterable[int]) -> Distances:
    """Returns the distances of NUMA domains from each other, those that can be read."""
    names = host.numbered(NODES, "node")  # a row has a column for each of them
    rows = {
        node: [integer(word) for word in (host.text(f"{NODES}/node{node}/distance") or "").split()]
        for node in nodes
    }
    return {
        node: {other: far for other, far in zip(names, row, strict=True) if far is not None}
        for node, row in rows.items()
        if len(row) == len(names)
    }


def shared(host: Host, grouped: Grouped, online: Iterable[int]) -> list[Cpus]:
    """Returns the CPUs that share a die, a cluster, a cache, or an s390 book or drawer.

    Of each core only its first CPU is asked, and of a cache only that CPU that is not yet known to
    share it: a machine has a thousand of these files.
    """
    wanted = frozenset(online)
    asked = frozenset(min(core) for core in grouped.cores)
    found: list[Cpus] = []
    for name in _LEVELS:
        found += _sets(host, wanted, "topology", (name,), asked)
    for index in _CACHES:
        found += _sets(host, wanted, f"cache/index{index}", ("shared_cpu_list",), asked, gaps=True)
    return found


def _sets(
    host: Host,
    wanted: Cpus,
    folder: str,
    names: Sequence[str],
    asked: Cpus | None = None,
    *,
    gaps: bool = False,
) -> list[Cpus]:
    """Reads the CPU lists of one kind: `wanted` CPUs only, each set once, the lowest CPU first.

    Ends at the first CPU that has no such file (this kernel does not write it), unless there may
    be gaps: not every core has the same caches.
    """
    found: list[Cpus] = []
    seen: set[int] = set()
    for cpu in sorted(wanted if asked is None else asked):
        if cpu in seen:
            continue
        texts = (_cpus(host, f"{CPUS}/cpu{cpu}/{folder}/{name}") for name in names)
        cpus = next(filter(None, texts), frozenset()) & wanted
        if cpu not in cpus:
            if gaps:
                continue
            return found
        found.append(cpus)
        seen |= cpus
    return found


def _cpus(host: Host, path: str) -> Cpus:
    """Reads a list, or the mask beside it, which is all that kernels before 2.6.26 write."""
    mask = path.replace("_cpu_list", "_cpu_map").replace("cpulist", "cpumap").removesuffix("_list")
    return frozenset(cpu_list(host.text(path)) or cpu_mask(host.text(mask)))


def _packages(host: Host, wanted: Cpus) -> list[Cpus]:
    """Returns the CPUs of each package.

    The list of its CPUs counts; its number is not one on every machine (s390 writes the core's).
    Where there is no list, CPUs of one number are one package, and -1 (the firmware does not say:
    arm64 virtual machines) is number 0.
    """
    found = _sets(host, wanted, "topology", ("core_siblings_list", "package_cpus_list"))
    missing = wanted.difference(*found)
    numbered: dict[int, set[int]] = {}
    for cpu in sorted(missing):
        number = host.number(f"{CPUS}/cpu{cpu}/topology/physical_package_id")
        numbered.setdefault(max(0, number or 0), set()).add(cpu)
    return [*found, *(frozenset(cpus) for cpus in numbered.values())]


def _are_modules(host: Host, cores: Sequence[Cpus], processors: Processors) -> bool:
    """Tells whether what the kernel calls a core's threads are the cores of an AMD module."""
    first = processors[0] if processors else {}
    threads = next((sorted(core) for core in cores if len(core) > 1), [])
    if first.get("vendor_id") != "AuthenticAMD" or first.get("cpu family") not in _MODULES:
        return False
    return len({_core_id(host, cpu, processors) for cpu in threads}) > 1


def _core_id(host: Host, cpu: int, processors: Processors) -> int | None:
    number = host.number(f"{CPUS}/cpu{cpu}/topology/core_id")
    if number is not None:
        return number
    named = (block for block in processors if block.get("processor") == str(cpu))
    return integer(next(named, {}).get("core id"))
