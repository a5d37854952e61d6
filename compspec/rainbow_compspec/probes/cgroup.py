"""What the cgroups and the affinity leave of the machine (cgroups(7), versions 1 and 2)."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass

from rainbow_compspec.host import Host
from rainbow_compspec.reading import Choice, Origin, Reading, known
from rainbow_compspec.text import cpu_list, format_cpus, integer, pairs

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

        Folders that are not there have no limits.
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
    limits = {
        "cpu.quota": _quotas(host, found),
        "memory.limit": _memory_limits(host, found),
        "pids.limit": _limits(host, found, "pids", "pids.max", "pids.max"),
    }
    values = known(
        version="+".join(sorted({str(item.version) for item in found})),
        path=next((item.path for item in found if item.version == 2), None)
        or next((item.path for item in found), None),
        cpuset=format_cpus(_cpuset(host, found)),
        affinity=format_cpus(cpus),
        affinity_count=len(cpus) or None,
    )
    origins = {"affinity": Origin("sched_getaffinity(2)")}
    choices: dict[str, Choice] = {}
    for key, at in limits.items():
        if at:
            place = min(at, key=lambda path: at[path])
            values[key] = f"{at[place]:.6g}" if key == "cpu.quota" else str(int(at[place]))
            origins[key] = Origin(place)
            others = tuple((path, f"{at[path]:.10g}") for path in at if path != place)
            choices[key] = Choice("the smallest limit over this process counts", others)
    return Reading("cgroup", values, Origin(f"{OWN}, {MOUNTS}"), origins=origins, choices=choices)


def memory_limit(host: Host) -> tuple[int, str] | None:
    """Returns the smallest memory limit over this process, in bytes, and its file."""
    at = _memory_limits(host, _hierarchies(host))
    place = min(at, key=lambda path: at[path], default=None)
    return None if place is None else (int(at[place]), place)


def _memory_limits(host: Host, found: list[_Hierarchy]) -> dict[str, float]:
    """Returns file -> memory limit; version 1 also has that of a pod, above the mount."""
    at = _limits(host, found, "memory", "memory.limit_in_bytes", "memory.max")
    for version, folder in _folders(found, "memory"):
        if version == 1:
            stat = pairs(host.text(f"{folder}/memory.stat") or "", " ")
            limit = integer(stat.get("hierarchical_memory_limit"))
            if limit is not None and 0 < limit < UNLIMITED:
                at[f"{folder}/memory.stat"] = limit
    return at


def _hierarchies(host: Host) -> list[_Hierarchy]:
    paths: dict[str, str] = {}  # controller, or "" for version 2, -> path
    for line in (host.text(OWN) or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, mark, path = rest.partition(":")
        if mark:
            for controller in controllers.split(","):
                paths[controller] = "/" + path.strip("/")
    return [
        item
        for line in (host.text(MOUNTS) or "").splitlines()
        if (item := _hierarchy(line, paths)) is not None
    ]


def _hierarchy(line: str, paths: dict[str, str]) -> _Hierarchy | None:
    """Reads one line of mountinfo (proc(5)); None if it mounts no cgroup of ours.

    The mount shows the hierarchy from its root (the fourth field) down, so the root is taken off
    the path. A path that is not below the root is not in the mount (a container with the host's
    namespace and a mount of its own); only the mount itself is there then.
    """
    left, mark, right = line.partition(" - ")
    fields, kind = left.split(), right.split()
    if not mark or len(fields) < 5 or len(kind) < 3 or kind[0] not in {"cgroup", "cgroup2"}:
        return None
    if kind[0] == "cgroup2":
        return _Hierarchy(2, frozenset(), fields[4], _below(paths.get("", "/"), fields[3]))
    controllers = frozenset(kind[2].split(",")) & paths.keys()
    if not controllers:
        return None
    return _Hierarchy(1, controllers, fields[4], _below(paths[min(controllers)], fields[3]))


def _below(path: str, root: str) -> str:
    """Returns a cgroup's path from the root of its mount; `/` if it is not below it.

    Both are seen from the root of the cgroup namespace, and begin with `/..` outside of it.
    """
    root = root.rstrip("/")
    inner = path.removeprefix(root) if path.startswith(f"{root}/") else "/"
    return "/" if ".." in inner.split("/") else inner


def _folders(found: list[_Hierarchy], controller: str) -> Iterator[tuple[int, str]]:
    """Yields version and folder wherever the controller may limit this process."""
    for item in found:
        if item.version == 2 or controller in item.controllers:
            for folder in item.folders():
                yield item.version, folder


def _limits(
    host: Host, found: list[_Hierarchy], controller: str, one: str, two: str
) -> dict[str, float]:
    """Returns file -> limit, of the files of version one and two; without those that are none."""
    paths = (
        f"{folder}/{two if version == 2 else one}"
        for version, folder in _folders(found, controller)
    )
    numbers = ((path, host.number(path)) for path in paths)
    return {path: limit for path, limit in numbers if limit is not None and 0 < limit < UNLIMITED}


def _quotas(host: Host, found: list[_Hierarchy]) -> dict[str, float]:
    """Returns file -> how many CPUs' time may be used: 2, 2.5."""
    shares: dict[str, float] = {}
    for version, folder in _folders(found, "cpu"):
        path = f"{folder}/cpu.max" if version == 2 else f"{folder}/cpu.cfs_quota_us"
        quota, _, period = (host.text(path) or "").partition(" ")
        if version == 1:
            period = host.text(f"{folder}/cpu.cfs_period_us") or ""
        microseconds, of = integer(quota), integer(period)
        if microseconds and of and microseconds > 0 and of > 0:
            shares[path] = microseconds / of
    return shares


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
