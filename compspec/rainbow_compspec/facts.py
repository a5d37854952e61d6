"""Typed facts about one node: what probes find, node JSON carries, and graphs are made of.

Everything is plain and frozen; None or an empty tuple means "not known" or "none there".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Core:
    """One physical core."""

    id: int  # logical number on the node, from 0, in order of socket, NUMA domain and core
    socket: int
    numa: int | None = None
    cpus: tuple[int, ...] = ()  # the hardware threads' CPU numbers, as the kernel counts them


@dataclass(frozen=True)
class Gpu:
    """One GPU."""

    index: int  # from 0, in the vendor library's order (what a job sees as device number)
    vendor: str  # nvidia, amd, intel
    model: str = ""
    memory: int | None = None  # bytes
    uuid: str = ""
    driver: str = ""
    numa: int | None = None
    pci: str = ""  # 0000:3b:00.0; of the card, where this is a part of one
    partition: str = ""  # what part of a card it is: 3g.40gb (MIG), cpx; empty for a whole card
    card: str = ""  # the UUID or the address of the card that it is a part of


@dataclass(frozen=True)
class Port:
    """One port of an RDMA adapter that is not down."""

    adapter: str  # mlx5_0
    kind: str  # infiniband, roce, iwarp, efa, omnipath, slingshot
    gbps: int | None = None  # as the kernel rounds it


@dataclass(frozen=True)
class Package:
    """One installed package of spack."""

    name: str
    version: str
    hash: str = ""
    compiler: str = ""  # gcc@12.3.0
    target: str = ""  # zen3
    explicit: bool = False


@dataclass(frozen=True)
class NodeFacts:
    """One node."""

    name: str  # hostname
    arch: str = ""  # amd64, arm64: Go's names, as compspec-go and rainbow use them
    vendor: str = ""  # GenuineIntel, AuthenticAMD, ARM ...
    model: str = ""  # the CPU's model name
    target: str = ""  # archspec's microarchitecture: zen3, icelake, neoverse_v1
    cores: tuple[Core, ...] = ()
    gpus: tuple[Gpu, ...] = ()
    memory: int | None = None  # bytes, in all
    packages: tuple[Package, ...] = ()
    rdma: tuple[Port, ...] | None = None  # None: not known
    os: Mapping[str, str] = field(default_factory=dict)  # name, version, release, vendor, kernel
    mpi: Mapping[str, str] = field(default_factory=dict)  # implementation, version
    rank: int | None = None  # the workload manager's number for the node, when it has one
    rack: str = ""  # where it stands, when the site says so

    @property
    def sockets(self) -> tuple[int, ...]:
        """The socket numbers that have cores, sorted."""
        return tuple(sorted({core.socket for core in self.cores}))
