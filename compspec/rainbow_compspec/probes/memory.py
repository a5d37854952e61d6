"""Memory: in all, by NUMA domain, huge pages, and what the cgroup leaves of it. All in bytes."""

from __future__ import annotations

from rainbow_compspec.errors import ProbeFailed
from rainbow_compspec.host import Host
from rainbow_compspec.probes import cgroup
from rainbow_compspec.probes.topology import NODES
from rainbow_compspec.reading import Confidence, Origin, Reading, known
from rainbow_compspec.text import pairs, size

MEMINFO = "/proc/meminfo"
HUGEPAGES = "/sys/kernel/mm/hugepages"


def probe(host: Host) -> Reading:
    """Reads the memory of a machine.

    `total` is what the machine has, `usable` what processes here may have of it.

    Raises:
        HostError: there is no /proc/meminfo.
        ProbeFailed: it does not say how much there is.
    """
    fields = pairs(host.need(MEMINFO))
    total = size(fields.get("MemTotal"))
    if not total:
        raise ProbeFailed(f"{MEMINFO} has no MemTotal in kB")
    limit = cgroup.memory_limit(host)
    limit = limit if limit is not None and limit < total else None
    values = known(
        total=total,
        usable=limit or total,
        limit=limit,
        swap=size(fields.get("SwapTotal")),
        hugepage=size(fields.get("Hugepagesize")),
    )
    origin = Origin(MEMINFO)
    return Reading(
        "memory",
        values | _domains(host) | _hugepages(host),
        origin,
        origins={"limit": Origin("cgroup"), "usable": Origin("cgroup", Confidence.DERIVED)}
        if limit
        else {},
    )


def _domains(host: Host) -> dict[str, str]:
    """Returns the memory of each NUMA domain: `Node 0 MemTotal: 131071 kB`."""
    values: dict[str, str] = {}
    for node in host.numbered(NODES, "node"):
        lines = (host.text(f"{NODES}/node{node}/meminfo") or "").splitlines()
        fields = pairs("\n".join(line.removeprefix(f"Node {node} ") for line in lines))
        total = size(fields.get("MemTotal"))
        if total is not None:
            values[f"numa.{node}.total"] = str(total)
    return values


def _hugepages(host: Host) -> dict[str, str]:
    """Returns how many huge pages of each size are set aside."""
    values: dict[str, str] = {}
    for name in host.names(HUGEPAGES):  # hugepages-2048kB
        pages = host.number(f"{HUGEPAGES}/{name}/nr_hugepages")
        in_bytes = size(name.removeprefix("hugepages-"))
        if pages is not None and in_bytes is not None:
            values[f"hugepages.{in_bytes}.count"] = str(pages)
    return values
