"""What the cgroups and the affinity leave of the machine (cgroups(7), versions 1 and 2)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from rainbow_compspec.host import Host
from rainbow_compspec.reading import Origin, Reading, known
from rainbow_compspec.text import cpu_list, format_cpus, integer

MOUNTS = "/proc/self/mountinfo"
OWN = "/proc/self/cgroup"

UNLIMITED = 1 << 60
"""Version 1 writes its "no limit" as a number near 2**63, rounded to pages."""


@dataclass(frozen=True)
class _Hierarchy:
    """One mounted cgroup hierarchy, and where this process is in it."""

    version: int
    controllers: frozenset[str]
    mount: str
    path: str

    def folders(self) -> Iterator[str]:
        """Yields this process's folder and every one above it, innermost first.

        In a container the path is often the host's and not below the mount; then only the
        mount itself, the container's own cgroup, is there.
        """
        path = self.path
        while path != "/":
            yield self.mount + path
            path = posixpath.dirname(path)
        yield self.mount


def probe(host: Host) -> Reading:
    """Reads limits on CPUs, memory and processes, and the affinity."""
    found = _hierarchies(host)
    cpus = host.affinity()
    values = known(
        version="+".join(sorted({str(item.version) for item in found})),
        path=next((item.path for item in found if item.version == 2), None)
        or next((item.path for item in found), None),
        cpu_quota=_quota(host, found),
        cpuset=format_cpus(_cpuset(host, found)),
        memory_limit=_smallest(host, found, "memory", "memory.limit_in_bytes", "memory.max"),
        pids_limit=_smallest(host, found, "pids", "pids.max", "pids.max"),
        affinity=format_cpus(cpus),
        affinity_count=len(cpus) or None,
    )
    affinity = Origin("sched_getaffinity(2)")
    return Reading(
        "cgroup",
        values,
        Origin(f"{OWN}, {MOUNTS}"),
        origins={key: affinity for key in ("affinity", "affinity.count") if key in values},
    )


def memory_limit(host: Host) -> int | None:
    """Returns the smallest memory limit over this process, in bytes; None if there is none."""
    return _smallest(host, _hierarchies(host), "memory", "memory.limit_in_bytes", "memory.max")


def _hierarchies(host: Host) -> list[_Hierarchy]:
    paths: dict[str, str] = {}  # controller, or "" for version 2, -> path
    for line in (host.text(OWN) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, mark, path = rest.partition(":")
        if mark:
            for controller in controllers.split(","):
                paths[controller] = "/" + posixpath.normpath("/" + path).strip("/")
    return [
        item
        for line in (host.text(MOUNTS) or "").splitlines()
        if (item := _hierarchy(line, paths)) is not None
    ]


def _hierarchy(line: str, paths: dict[str, str]) -> _Hierarchy | None:
    """Reads one line of mountinfo (proc(5)); None if it mounts no cgroup of ours."""
    left, mark, right = line.partition(" - ")
    fields, kind = left.split(), right.split()
    if not mark or len(fields) < 5 or len(kind) < 3 or kind[0] not in {"cgroup", "cgroup2"}:
        return None
    if kind[0] == "cgroup2":
        return _Hierarchy(2, frozenset(), fields[4], paths.get("", "/"))
    controllers = frozenset(kind[2].split(",")) & paths.keys()
    if not controllers:
        return None
    return _Hierarchy(1, controllers, fields[4], paths[min(controllers)])


def _folders(found: list[_Hierarchy], controller: str) -> Iterator[tuple[int, str]]:
    """Yields version and folder wherever the controller may limit this process."""
    for item in found:
        if item.version == 2 or controller in item.controllers:
            for folder in item.folders():
                yield item.version, folder


def _smallest(
    host: Host, found: list[_Hierarchy], controller: str, one: str, two: str
) -> int | None:
    """Returns the smallest limit in the files of version one and two; None if there is none."""
    limits = (
        host.number(f"{folder}/{two if version == 2 else one}")
        for version, folder in _folders(found, controller)
    )
    return min(
        (limit for limit in limits if limit is not None and 0 < limit < UNLIMITED), default=None
    )


def _quota(host: Host, found: list[_Hierarchy]) -> str | None:
    """Returns how many CPUs' time may be used, `2` or `2.5`; None if there is no limit."""
    shares = []
    for version, folder in _folders(found, "cpu"):
        if version == 2:
            quota, _, period = (host.text(f"{folder}/cpu.max") or "").partition(" ")
        else:
            quota = host.text(f"{folder}/cpu.cfs_quota_us") or ""
            period = host.text(f"{folder}/cpu.cfs_period_us") or ""
        microseconds, of = integer(quota), integer(period)
        if microseconds and of and microseconds > 0 and of > 0:
            shares.append(microseconds / of)
    return f"{min(shares):.6g}" if shares else None


def _cpuset(host: Host, found: list[_Hierarchy]) -> tuple[int, ...]:
    """Returns the CPUs that the innermost cpuset allows; empty if there is none."""
    for version, folder in _folders(found, "cpuset"):
        name = "cpuset.cpus.effective" if version == 2 else "cpuset.effective_cpus"
        cpus = cpu_list(host.text(f"{folder}/{name}"))
        if version == 1:
            cpus = cpus or cpu_list(host.text(f"{folder}/cpuset.cpus"))
        if cpus:
            return cpus
    return ()
