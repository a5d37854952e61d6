"""compspec-go's extractors in node JSON: `nfd`, `system`, `library`.

Written so that its `create nodes` loads our files; read as far as they go. Source: compspec-go
(plugins/creators/cluster, plugins/extractors), node-feature-discovery's labels. Two traps there: a
`topology.socket_count` of 0 makes it panic, and one above the number of cores makes it loop for
ever (utils.Chunkify).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module

from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import Core, NodeFacts
from rainbow_compspec.node_ours import MPI_KEYS, OS_KEYS, spread
from rainbow_compspec.reading import Reading
from rainbow_compspec.text import integer, size

Sections = Mapping[str, Mapping[str, str]]


def extractors(readings: Mapping[str, Reading], name: str) -> dict[str, Sections]:
    """Writes what compspec-go would say of the same node, from our readings.

    `system.cpu.cores` is the physical cores that can be used; compspec-go writes hardware threads
    there, with a note that it should be the cores. Of the processors, which are alike, only the
    first is written.
    """

    def values(probe: str) -> Mapping[str, str]:
        return readings[probe].values if probe in readings else {}

    cpu, memory, system, mpi = values("cpu"), values("memory"), values("os"), values("mpi")
    cores = max(1, integer(cpu.get("cores")) or 1)
    sockets = min(cores, max(1, integer(cpu.get("sockets")) or 1))
    with_memory = sum(1 for key in memory if re.fullmatch(r"numa\.\d+\.total", key))
    domains = max(1, with_memory, integer(cpu.get("numa.machine")) or 0)
    nfd = {
        "cpu": {
            "topology.socket_count": str(sockets),
            "topology.hardware_multithreading": _boolean(cpu.get("smt") == "yes"),
            "model.vendor_id": cpu.get("vendor", ""),
            "model.family": cpu.get("family", ""),
            "model.id": cpu.get("model.id", ""),
        },
        "memory": {"numa.is_numa": _boolean(domains > 1), "numa.node_count": str(domains)},
        "kernel": _kernel(system.get("kernel", "")),
        "system": {
            "name.nodename": name,
            "osrelease.ID": system.get("vendor", ""),
            "osrelease.VERSION_ID": system.get("version", ""),
        },
    }
    total = integer(memory.get("total"))
    written: Sections = {
        "cpu": {"cores": str(cores)} if cpu else {},
        "processor": _processor(cpu),
        "arch": {"name": cpu.get("arch", "")},
        "memory": {"memtotal": f"{total // 1024} kB"} if total else {},
        "os": {key: system.get(key, "") for key in OS_KEYS if key != "kernel"},
    }
    library = {"variant": mpi.get("implementation", ""), "version": mpi.get("version", "")}
    return {"nfd": _known(nfd), "system": _known(written), "library": {"mpi": _filled(library)}}


def facts(doc: Mapping[str, Sections], origin: str, name: str) -> NodeFacts:
    """Reads a file of compspec-go as facts.

    Raises:
        CompspecError: the core count is not a number.
    """
    system, nfd = doc.get("system", {}), doc.get("nfd", {})
    processor = system.get("processor", {})
    features = processor.get("0.normalized.features", "").split()
    vendor = processor.get("0.normalized.vendor", "")
    arch = system.get("arch", {}).get("name", "")
    mpi = doc.get("library", {}).get("mpi", {})
    own = dict(zip(MPI_KEYS, (mpi.get("variant"), mpi.get("version")), strict=True))
    written = {key: value.strip() for key, value in system.get("os", {}).items()}
    kernel = nfd.get("kernel", {}).get("version.full")
    return NodeFacts(
        name=nfd.get("system", {}).get("name.nodename") or name,
        arch=arch,
        vendor=vendor,
        model=processor.get("0.normalized.model", ""),
        target=_target(arch, vendor, features, processor.get("0.raw.cpu_part", "")),
        cores=_cores(processor, integer(system.get("cpu", {}).get("cores")))
        or _counted_cores(system, nfd, origin),
        memory=size(system.get("memory", {}).get("memtotal")),
        os=written | ({"kernel": kernel} if kernel else {}),
        mpi={key: value for key, value in own.items() if value},
    )


def _processor(cpu: Mapping[str, str]) -> dict[str, str]:
    return {
        "0.normalized.vendor": cpu.get("vendor", ""),
        "0.normalized.family": cpu.get("family", ""),
        "0.normalized.model": cpu.get("model", ""),
        "0.normalized.features": cpu.get("features", ""),
    }


def _kernel(release: str) -> dict[str, str]:
    parts = re.findall(r"\d+", release)[:3]
    return {
        "version.full": release,
        **dict(zip(("version.major", "version.minor", "version.revision"), parts, strict=False)),
    }


def _cores(processor: Mapping[str, str], count: int | None) -> tuple[Core, ...]:
    """Groups its processors into cores by their `physical id` and `core id` (x86 has them)."""
    cores: dict[tuple[int, int], list[int]] = {}
    for key, text in processor.items():
        number, _, field = key.partition(".")
        if field != "raw.core_id":
            continue
        core, cpu = integer(text), integer(number)
        socket = integer(processor.get(f"{number}.raw.physical_id"))
        if core is None or cpu is None or socket is None:
            return ()
        cores.setdefault((socket, core), []).append(cpu)
    if count is not None and sum(map(len, cores.values())) == count - 1:
        _add_the_last(cores, processor, count - 1)
    return tuple(
        Core(number, socket, cpus=tuple(sorted(cpus)))
        for number, ((socket, _), cpus) in enumerate(sorted(cores.items()))
    )


def _add_the_last(
    cores: dict[tuple[int, int], list[int]], processor: Mapping[str, str], cpu: int
) -> None:
    """Adds the last CPU, which compspec-go's reader of /proc/cpuinfo always loses.

    It is the missing thread of a core that lacks one, else a core of its own.
    """
    threads = integer(processor.get("0.raw.siblings")) or 1
    per_core = threads // (integer(processor.get("0.raw.cpu_cores")) or threads)
    lacking = [key for key, cpus in cores.items() if len(cpus) < per_core]
    socket, core = max(cores, default=(0, -1))
    cores.setdefault(lacking[0] if lacking else (socket, core + 1), []).append(cpu)


def _counted_cores(system: Sections, nfd: Sections, origin: str) -> tuple[Core, ...]:
    count = system.get("cpu", {}).get("cores")
    if count is None:
        return ()
    cores = integer(count)
    if cores is None or cores < 1:
        raise CompspecError(f"{origin}: system.cpu.cores: must be a number, found {count!r}")
    return spread(cores, integer(nfd.get("cpu", {}).get("topology.socket_count")) or 1)


def _target(arch: str, vendor: str, features: list[str], part: str) -> str:
    """Asks archspec for the microarchitecture, as the probe would have."""
    if not arch or not features:
        return ""
    # archspec is slow to import, and our own files have the answer in them
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(arch, arch)
    microarch = import_module("rainbow_compspec.probes.microarch")
    name: str = microarch.detect(machine, vendor, features, part).name
    return name


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _filled(values: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in values.items() if value}


def _known(found: Sections) -> Sections:
    """Leaves out what is not known, and sections that nothing is known of."""
    return {name: filled for name, values in found.items() if (filled := _filled(values))}
