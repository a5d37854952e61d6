"""Local disks, and the free space of the usual scratch folders. Sizes in bytes."""

from __future__ import annotations

import re

from rainbow_compspec.host import Host
from rainbow_compspec.probes.cgroup import MOUNTS
from rainbow_compspec.reading import Origin, Reading, known

BLOCK = "/sys/class/block"
SCRATCH = (
    "/tmp",  # noqa: S108 - its free space is asked, nothing is written there
    "/var/tmp",  # noqa: S108 - likewise
    "/dev/shm",  # noqa: S108 - likewise
    "/scratch",
    "/local",
    "/local_scratch",
    "/mnt/scratch",
)

_KINDS = {None: "", 0: "ssd", 1: "disk"}

SECTOR = 512
"""Bytes of a sector in /sys/class/block/*/size, whatever the device's own are."""

_NO_DISK = re.compile(r"(?:loop|ram|zram|dm-|md|sr|fd|nbd)\d|nvme\d+c\d+n\d+")
"""Names of block devices that are no disk of their own; the last is one path to an NVMe disk."""


def probe(host: Host) -> Reading:
    """Reads disks and scratch space."""
    disks = [
        name
        for name in host.names(BLOCK)
        if not _NO_DISK.match(name) and host.exists(f"{BLOCK}/{name}/device")
    ]
    values = known(disks=" ".join(disks))
    for name in disks:
        values |= _disk(host, name)
    for path, key in _scratch(host).items():
        space = host.space(path)
        if space is not None:
            found = known(total=space.total, free=space.free, type=_type(host, path))
            values |= {f"{key}.{name}": value for name, value in found.items()}
    if not values:
        return Reading.absent("storage", "no disk and no scratch folder to be seen")
    return Reading("storage", values, Origin(f"{BLOCK}, statvfs(3), {MOUNTS}"))


def _disk(host: Host, name: str) -> dict[str, str]:
    folder = f"{BLOCK}/{name}"
    sectors = host.number(f"{folder}/size")
    rotational = host.number(f"{folder}/queue/rotational")
    values = known(
        size=None if sectors is None else sectors * SECTOR,
        model=host.text(f"{folder}/device/model"),
        kind="nvme" if name.startswith("nvme") else _KINDS.get(rotational),
    )
    return {f"{name}.{key}": value for key, value in values.items()}


def _scratch(host: Host) -> dict[str, str]:
    """Returns path -> key of the scratch folders that are there."""
    found = {path: path for path in SCRATCH if host.exists(path)}
    own = host.env("TMPDIR").rstrip("/")
    if own and host.exists(own):
        found[own] = "TMPDIR"
    return found


def _type(host: Host, path: str) -> str:
    """Returns the type of the file system that a folder is on: tmpfs, xfs, lustre."""
    best, kind = "", ""
    for line in (host.text(MOUNTS) or "").splitlines():
        left, mark, right = line.partition(" - ")
        fields = left.split()
        if not mark or len(fields) < 5:
            continue
        mount = fields[4].rstrip("/")
        # the last of two mounts on one place lies on top
        if (path == mount or path.startswith(mount + "/")) and len(mount) >= len(best):
            best, kind = mount, right.split()[0]
    return kind
