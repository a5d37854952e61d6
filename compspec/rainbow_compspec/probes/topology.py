"""Sockets, NUMA domains, physical cores and hardware threads.

From /sys/devices/system/cpu (Linux: Documentation/ABI/stable/sysfs-devices-system-cpu), else from
/proc/cpuinfo, else one core a CPU. Cores and sockets are numbered from 0 by their lowest CPU, as
hwloc counts them, so they agree with what Flux calls `core0` in its R.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rainbow_compspec.errors import ProbeFailed
from rainbow_compspec.facts import Core
from rainbow_compspec.host import Host
from rainbow_compspec.reading import Confidence, Origin
from rainbow_compspec.text import cpu_list, integer

CPUS = "/sys/devices/system/cpu"
NODES = "/sys/devices/system/node"

Processors = Sequence[Mapping[str, str]]
"""The blocks of /proc/cpuinfo."""


@dataclass(frozen=True)
class Topology:
    """The cores of a machine."""

    cores: tuple[Core, ...]  # all that are online, in order
    origin: Origin

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


def read(host: Host, processors: Processors) -> Topology:
    """Reads the topology.

    Args:
        host: the machine.
        processors: the blocks of its /proc/cpuinfo.

    Raises:
        ProbeFailed: no CPU is to be found in any of the places.
    """
    online = _online(host, processors)
    groups, source = _groups_from_sysfs(host, online), f"{CPUS}/cpu*/topology"
    confidence = Confidence.MEASURED
    if groups is None:
        groups, source = _groups_from_cpuinfo(processors), "/proc/cpuinfo"
        confidence = Confidence.DERIVED
    if groups is None:
        groups, source = [((cpu,), 0) for cpu in online], "one core a CPU, one socket"
        confidence = Confidence.GUESSED
    numa = {cpu: node for node, cpus in numa_cpus(host).items() for cpu in cpus}
    return Topology(_numbered(groups, numa), Origin(source, confidence))


def numa_cpus(host: Host) -> dict[int, tuple[int, ...]]:
    """Returns NUMA domain -> its CPUs; empty where the kernel knows of no domains."""
    return {
        node: cpu_list(host.text(f"{NODES}/node{node}/cpulist"))
        for node in host.numbered(NODES, "node")
    }


def _online(host: Host, processors: Processors) -> tuple[int, ...]:
    online = cpu_list(host.text(f"{CPUS}/online")) or host.numbered(CPUS, "cpu")
    online = online or tuple(
        number for block in processors if (number := integer(block.get("processor"))) is not None
    )
    if not online:
        raise ProbeFailed(f"no CPU in {CPUS}/online or /proc/cpuinfo; is /proc or /sys mounted?")
    return online


_Group = tuple[tuple[int, ...], int]
"""A core's hardware threads, and the number that its socket has in the source."""


def _groups_from_sysfs(host: Host, online: Iterable[int]) -> list[_Group] | None:
    """Groups CPUs into cores; None if any of them has no topology."""
    groups: list[_Group] = []
    seen: set[int] = set()
    wanted = set(online)
    for cpu in sorted(wanted):
        if cpu in seen:
            continue
        folder = f"{CPUS}/cpu{cpu}/topology"
        # core_cpus_list is the name since Linux 5.3; the old one is still written
        siblings = cpu_list(host.text(f"{folder}/thread_siblings_list")) or cpu_list(
            host.text(f"{folder}/core_cpus_list")
        )
        if cpu not in siblings:
            return None
        threads = tuple(sibling for sibling in siblings if sibling in wanted)
        seen.update(threads)
        # -1 where the firmware does not say (arm64 virtual machines): one socket then
        groups.append((threads, max(0, host.number(f"{folder}/physical_package_id") or 0)))
    return groups


def _groups_from_cpuinfo(processors: Processors) -> list[_Group] | None:
    """Groups CPUs by `physical id` and `core id`; None if a block has none (arm64)."""
    threads: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for block in processors:
        cpu, core = integer(block.get("processor")), integer(block.get("core id"))
        socket = integer(block.get("physical id"))
        if cpu is None or core is None or socket is None:
            return None
        threads[socket, core].append(cpu)
    return [(tuple(sorted(cpus)), socket) for (socket, _), cpus in threads.items()] or None


def _numbered(groups: Iterable[_Group], numa: Mapping[int, int]) -> tuple[Core, ...]:
    """Numbers cores and sockets by their lowest CPU."""
    ordered = sorted(groups)
    sockets = {name: n for n, name in enumerate(dict.fromkeys(name for _, name in ordered))}
    first: dict[tuple[int, int | None], int] = {}
    for threads, name in ordered:
        first.setdefault((sockets[name], numa.get(threads[0])), threads[0])
    ordered.sort(
        key=lambda group: (
            sockets[group[1]],
            first[sockets[group[1]], numa.get(group[0][0])],
            group[0],
        )
    )
    return tuple(
        Core(number, sockets[name], numa.get(threads[0]), threads)
        for number, (threads, name) in enumerate(ordered)
    )
