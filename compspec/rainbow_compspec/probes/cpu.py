"""CPU: architecture, vendor, model, topology, caches, features, frequency, microarchitecture."""

from __future__ import annotations

import re

from rainbow_compspec.host import Host
from rainbow_compspec.probes import microarch, topology
from rainbow_compspec.reading import Confidence, Origin, Reading, known
from rainbow_compspec.text import cpu_list, format_cpus, integer, size, tokens

CPUINFO = "/proc/cpuinfo"

GO_ARCH = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "i686": "386",
    "armv7l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
}
"""uname's machine -> Go's GOARCH, which compspec-go and rainbow use."""


def probe(host: Host) -> Reading:
    """Reads the CPU of a machine.

    Raises:
        HostError: there is no /proc/cpuinfo.
        ProbeFailed: no CPU is to be found.
    """
    processors = blocks(host.need(CPUINFO))
    machine = host.uname().machine
    first = processors[0] if processors else {}
    names = _names(first, machine)
    target = microarch.detect(
        machine, names["vendor"], names["features"].split(), names["part"], _generation(first)
    )
    found = topology.read(host, processors)
    cores = found.usable(host.affinity())
    values = known(
        arch=GO_ARCH.get(machine, machine),
        machine=machine,
        vendor=names["vendor"],
        model=names["model"] or (target.name if target.name != target.family else ""),
        family=names["family"],
        model_id=first.get("model") if first.get("vendor_id") else None,
        stepping=first.get("stepping") or first.get("CPU revision"),
        part=names["part"],
        features=names["features"],
        virtual="hypervisor" in names["features"].split(),
        target=target.name,
        target_generic=target.generic,
        target_family=target.family,
    )
    counts = known(
        sockets=len({core.socket for core in cores}),
        numa=len({core.numa for core in cores if core.numa is not None}),
        cores=len(cores),
        threads=sum(len(core.cpus) for core in cores),
        sockets_machine=len({core.socket for core in found.cores}),
        cores_machine=len(found.cores),
        threads_machine=sum(len(core.cpus) for core in found.cores),
        smt=any(len(core.cpus) > 1 for core in found.cores),
    )
    archspec = Origin(f"archspec, from {CPUINFO}", Confidence.DERIVED)
    origins = dict.fromkeys(("target", "target.generic", "target.family"), archspec)
    if not names["model"]:
        origins["model"] = archspec
    return Reading(
        "cpu",
        values | counts | _caches(host) | _frequency(host, first),
        Origin(CPUINFO),
        origins=origins | dict.fromkeys(counts, found.origin) | {"core": found.origin},
        tables={
            "core": {
                str(core.id): tokens(
                    {"socket": core.socket, "numa": core.numa, "cpus": format_cpus(core.cpus)}
                )
                for core in cores
            }
        },
    )


def blocks(text: str) -> list[dict[str, str]]:
    """Splits /proc/cpuinfo into its processors.

    Some architectures write machine-wide lines of their own (ppc64le's `timebase`, old arm's
    `Hardware`); they come as a block without the key `processor` and are joined to the first.
    """
    found: list[dict[str, str]] = []
    rest: dict[str, str] = {}
    for block in re.split(r"\n\s*\n", text):
        fields = {
            key.strip(): value.strip()
            for key, mark, value in (line.partition(":") for line in block.splitlines())
            if mark
        }
        if "processor" in fields:
            found.append(fields)
        else:
            rest |= fields
    if found:
        found[0] = rest | found[0]
    return found or ([rest] if rest else [])


def _names(first: dict[str, str], machine: str) -> dict[str, str]:
    """Returns vendor, model, family, part and features, whatever this architecture calls them."""
    implementer = first.get("CPU implementer", "")
    vendor = first.get("vendor_id") or (microarch.arm_vendor(implementer) if implementer else "")
    if not vendor and machine.startswith("ppc"):
        vendor = "IBM"
    return {
        "vendor": vendor,
        "model": first.get("model name") or first.get("cpu") or first.get("uarch") or "",
        "family": first.get("cpu family") or first.get("CPU architecture") or "",
        "part": first.get("CPU part", ""),
        "features": first.get("flags") or first.get("Features") or first.get("features") or "",
    }


def _generation(first: dict[str, str]) -> int:
    """Returns 9 for POWER9, else 0."""
    found = re.search(r"POWER(\d+)", first.get("cpu", ""))
    return int(found[1]) if found else 0


def _caches(host: Host) -> dict[str, str]:
    """Returns size in bytes of each of CPU 0's caches, and how many CPUs share it."""
    values: dict[str, str] = {}
    folder = f"{topology.CPUS}/cpu0/cache"
    for index in host.numbered(folder, "index"):
        level = host.number(f"{folder}/index{index}/level")
        kind = (host.text(f"{folder}/index{index}/type") or "").lower()
        in_bytes = size(host.text(f"{folder}/index{index}/size"))
        if level is None or in_bytes is None:
            continue
        name = f"cache.l{level}" + {"data": "d", "instruction": "i"}.get(kind, "")
        sharing = len(cpu_list(host.text(f"{folder}/index{index}/shared_cpu_list")))
        values[f"{name}.size"] = str(in_bytes)
        if sharing:
            values[f"{name}.shared"] = str(sharing)
    return values


def _frequency(host: Host, first: dict[str, str]) -> dict[str, str]:
    """Returns frequencies in MHz: what the driver promises, else what /proc/cpuinfo shows now."""
    folder = f"{topology.CPUS}/cpu0/cpufreq"
    limits = {
        "frequency.max": host.number(f"{folder}/cpuinfo_max_freq"),  # kHz
        "frequency.min": host.number(f"{folder}/cpuinfo_min_freq"),
        "frequency.base": host.number(f"{folder}/base_frequency"),
    }
    found = {key: str(khz // 1000) for key, khz in limits.items() if khz}
    now = integer((first.get("cpu MHz") or "").partition(".")[0])
    return found or ({"frequency.now": str(now)} if now else {})
