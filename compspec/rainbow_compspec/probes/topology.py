"""Sockets, NUMA domains, physical cores and hardware threads.

From /sys/devices/system/cpu, else from /proc/cpuinfo, else one core a CPU. Cores and sockets are
numbered as hwloc numbers them (`core_order`), so they agree with what Flux calls `core0` in its R.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rainbow_compspec.errors import ProbeFailed
from rainbow_compspec.facts import Core
from rainbow_compspec.host import Host
from rainbow_compspec.probes import cpu_sets
from rainbow_compspec.probes.core_order import Cpus, near_each_other, ordered, with_nearest
from rainbow_compspec.probes.cpu_sets import CPUS, Grouped, Processors
from rainbow_compspec.reading import UNOPPOSED, Choice, Confidence, Origin
from rainbow_compspec.text import cpu_list, integer

_AS_HWLOC = "counted and numbered as hwloc does, so that the ids are those of Flux's R"
_MODULES = (
    f"{_AS_HWLOC}; what the kernel calls threads have core ids of their own here (AMD modules), "
    "so each is a core"
)


@dataclass(frozen=True)
class Topology:
    """The cores of a machine."""

    cores: tuple[Core, ...]  # all that are online, in order
    origin: Origin
    choice: Choice = UNOPPOSED  # what other sources say of them

    def usable(self, cpus: frozenset[int]) -> tuple[Core, ...]:
        """Returns the cores that a process bound to these CPUs can use, numbered from 0.

        A core of which only some threads may be used keeps those. A binding that fits none of
        the CPUs (a recorded tree without one) means all.
        """
        allowed = cpus & {cpu for core in self.cores for cpu in core.cpus}
        if not allowed:
            return self.cores
        kept = ((core, tuple(cpu for cpu in core.cpus if cpu in allowed)) for core in self.cores)
        return tuple(
            Core(number, core.socket, core.numa, threads)
            for number, (core, threads) in enumerate(
                (core, threads) for core, threads in kept if threads
            )
        )

    def split(self, cpus: frozenset[int]) -> int:
        """Returns how many cores a binding to these CPUs splits: it has some of their threads."""
        return sum(0 < len(cpus.intersection(core.cpus)) < len(core.cpus) for core in self.cores)


def read(host: Host, processors: Processors) -> Topology:
    """Reads the topology.

    Args:
        host: the machine.
        processors: the blocks of its /proc/cpuinfo.

    Raises:
        ProbeFailed: no CPU is to be found in any of the places.
    """
    online = _online(host, processors)
    in_sysfs = cpu_sets.from_sysfs(host, online, processors)
    in_cpuinfo = cpu_sets.from_cpuinfo(processors)
    if in_sysfs is not None:
        origin = Origin(f"{CPUS}/cpu*/topology")
        why, grouped = _MODULES if in_sysfs.modules else _AS_HWLOC, in_sysfs
    elif in_cpuinfo is not None:
        origin = Origin("/proc/cpuinfo", Confidence.DERIVED)
        why, grouped = f"{CPUS} has no topology", in_cpuinfo
    else:
        origin = Origin("one core a CPU, one socket", Confidence.GUESSED)
        why = f"neither {CPUS} nor /proc/cpuinfo says which CPUs belong together"
        grouped = Grouped(tuple(frozenset({cpu}) for cpu in online), (frozenset(online),))
    others: tuple[tuple[str, str], ...] = ()
    if in_sysfs is not None and in_cpuinfo is not None:
        others = (("/proc/cpuinfo (physical id, core id)", _grouped_as(in_cpuinfo)),)
    return Topology(_numbered(host, grouped, online), origin, Choice(why, others))


def _grouped_as(grouped: Grouped) -> str:
    return f"cores: {len(grouped.cores)}, sockets: {len(grouped.packages)}"


def _online(host: Host, processors: Processors) -> tuple[int, ...]:
    online = cpu_list(host.text(f"{CPUS}/online")) or tuple(
        cpu for cpu in host.numbered(CPUS, "cpu") if host.number(f"{CPUS}/cpu{cpu}/online") != 0
    )
    online = online or tuple(
        number for block in processors if (number := integer(block.get("processor"))) is not None
    )
    if not online:
        raise ProbeFailed(f"no CPU in {CPUS}/online or /proc/cpuinfo; is /proc or /sys mounted?")
    return online


def _apart(domains: Mapping[int, Cpus], online: Cpus) -> dict[int, Cpus]:
    """Leaves out domains that share CPUs with an earlier one, as hwloc does: firmware is wrong."""
    kept: dict[int, Cpus] = {}
    for node, cpus in sorted(domains.items()):
        if all(cpus.isdisjoint(other) for other in kept.values()):
            kept[node] = cpus & online
    return kept


def _numbered(host: Host, grouped: Grouped, online: Iterable[int]) -> tuple[Core, ...]:
    """Numbers cores and sockets in hwloc's order."""
    domains = _apart(cpu_sets.domains(host), frozenset(online))
    distances = cpu_sets.distances(host, domains)
    near = with_nearest(domains, distances)
    holders = [
        *grouped.packages,
        *cpu_sets.shared(host, grouped, online),
        *near.values(),
        *near_each_other(near, distances),
    ]
    numa = {cpu: node for node, cpus in domains.items() for cpu in cpus}
    cores = ordered(grouped.cores, holders)
    package_of = {cpu: package for package in grouped.packages for cpu in package}
    sockets: dict[Cpus, int] = {}
    for core in cores:
        sockets.setdefault(package_of[min(core)], len(sockets))
    return tuple(
        Core(number, sockets[package_of[min(core)]], numa.get(min(core)), tuple(sorted(core)))
        for number, core in enumerate(cores)
    )
