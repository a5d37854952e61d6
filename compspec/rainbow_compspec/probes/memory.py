"""Memory: in all, by NUMA domain, huge pages, and what the cgroup leaves of it. All in bytes.

Memory of GPUs that the kernel has as NUMA domains without CPUs (POWER9 with V100, Grace Hopper) is
in /proc/meminfo, and is not the machine's: jobs that ask for memory mean the CPUs'.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from rainbow_compspec.errors import ProbeFailed
from rainbow_compspec.host import Host
from rainbow_compspec.probes import cgroup
from rainbow_compspec.probes.cpu_sets import NODES, domains
from rainbow_compspec.probes.gpu_nvidia import PROC
from rainbow_compspec.reading import Choice, Confidence, Origin, Reading, known
from rainbow_compspec.text import cpu_list, integer, pairs, size

MEMINFO = "/proc/meminfo"
HUGEPAGES = "/sys/kernel/mm/hugepages"


@dataclass(frozen=True)
class _OfGpus:
    """NUMA domains that are GPUs' memory."""

    nodes: frozenset[int]
    source: str


def probe(host: Host) -> Reading:
    """Reads the memory of a machine.

    `total` is what the machine has, `usable` what processes here may have of it.

    Raises:
        HostError: there is no /proc/meminfo.
        ProbeFailed: it does not say how much there is.
    """
    fields = pairs(host.need(MEMINFO))
    listed = size(fields.get("MemTotal"))
    if not listed:
        raise ProbeFailed(f"{MEMINFO} has no MemTotal in kB")
    by_domain = _domains(host)
    gpus = _of_gpus(host, by_domain)
    total = _without(gpus, by_domain, listed)
    limited = cgroup.memory_limit(host)
    limit, limit_path = limited if limited and limited[0] < total else (None, "")
    values = known(
        total=total,
        usable=limit or total,
        limit=limit,
        gpus=listed - total or None,
        swap=size(fields.get("SwapTotal")),
        hugepage=size(fields.get("Hugepagesize")),
    )
    values |= {f"numa.{n}.total": str(b) for n, b in by_domain.items() if n not in gpus.nodes}
    origins, choices = _sources(listed, total, limit_path, gpus)
    return Reading(
        "memory",
        values | _hugepages(host),
        Origin(MEMINFO),
        origins=origins,
        choices=choices,
    )


def _sources(
    listed: int, total: int, limit_path: str, gpus: _OfGpus
) -> tuple[dict[str, Origin], dict[str, Choice]]:
    """Returns where the values come from, and what else was there for them."""
    origins = {"numa": Origin(f"{NODES}/node*/meminfo"), "hugepages": Origin(HUGEPAGES)}
    choices: dict[str, Choice] = {}
    if total != listed:
        origins |= dict.fromkeys(
            ("total", "usable", "gpus"), Origin(gpus.source, Confidence.DERIVED)
        )
        choices["total"] = Choice(
            f"NUMA domains {', '.join(map(str, sorted(gpus.nodes)))} are the memory of GPUs",
            ((f"{MEMINFO} MemTotal, with the GPUs' memory", str(listed)),),
        )
    if limit_path:
        origins["limit"] = Origin(limit_path)
        origins["usable"] = Origin(limit_path, Confidence.DERIVED)
        why = "the cgroup's limit is less than what the machine has"
        choices["usable"] = Choice(why, (("the machine's memory", str(total)),))
    return origins, choices


def _domains(host: Host) -> dict[int, int]:
    """Returns the memory of each NUMA domain: `Node 0 MemTotal: 131071 kB`."""
    found: dict[int, int] = {}
    for node in host.numbered(NODES, "node"):
        lines = (host.text(f"{NODES}/node{node}/meminfo") or "").splitlines()
        fields = pairs("\n".join(line.removeprefix(f"Node {node} ") for line in lines))
        total = size(fields.get("MemTotal"))
        if total is not None:
            found[node] = total
    return found


def _of_gpus(host: Host, by_domain: Mapping[int, int]) -> _OfGpus:
    """Finds the domains that are GPUs' memory, which have no CPUs.

    NVIDIA's driver names them in numa_status; firmware marks domains of devices as generic
    initiators (ACPI 6.3). On POWER nothing else has memory without CPUs, so where numa_status
    cannot be read, as many such domains as there are GPUs are theirs. Memory without CPUs is the
    machine's own otherwise (CXL, or the fast memory of a Xeon Max).
    """
    without_cpus = {node for node, cpus in domains(host).items() if not cpus} & by_domain.keys()
    if not without_cpus:
        return _OfGpus(frozenset(), "")
    gpus = host.names(f"{PROC}/gpus")
    named = {
        integer(pairs(host.text(f"{PROC}/gpus/{pci}/numa_status") or "").get("Node"))
        for pci in gpus
    }
    marked = cpu_list(host.text(f"{NODES}/has_generic_initiator"))
    found = without_cpus.intersection({*named, *marked})
    if not found and host.uname().machine.startswith("ppc") and len(without_cpus) == len(gpus):
        source = f"{NODES}: domains without CPUs, as many as there are GPUs"
        return _OfGpus(frozenset(without_cpus), source)
    return _OfGpus(frozenset(found), f"{PROC}/gpus/*/numa_status, {NODES}/has_generic_initiator")


def _without(gpus: _OfGpus, by_domain: Mapping[int, int], listed: int) -> int:
    """Returns the memory of the other domains; of all if that leaves none."""
    rest = sum(total for node, total in by_domain.items() if node not in gpus.nodes)
    return rest if gpus.nodes and 0 < rest < listed else listed


def _hugepages(host: Host) -> dict[str, str]:
    """Returns how many huge pages of each size are set aside."""
    values: dict[str, str] = {}
    for name in host.names(HUGEPAGES):  # hugepages-2048kB
        pages = host.number(f"{HUGEPAGES}/{name}/nr_hugepages")
        in_bytes = size(name.removeprefix("hugepages-"))
        if pages is not None and in_bytes is not None:
            values[f"hugepages.{in_bytes}.count"] = str(pages)
    return values
