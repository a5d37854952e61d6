"""Subsystems: what a job can `require` of a node beside its cores, one graph a subsystem.

Rainbow's matcher looks at the metadata of the vertices that hang directly on a node, and if there
are several of one subsystem its answer depends on the order of a Go map. So a node has exactly one
vertex a subsystem, with one element an attribute. All of these elements are strings: a job that
requires a field which is none (a `size`, a `rank`) would end the server's process (rainbow
pkg/types, jsongraph-go GetStringElement).

Names of subsystems and attributes are those in use upstream; more of ours stand beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final

from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import NodeFacts, Package, Port
from rainbow_compspec.jgf import Edge, Graph, Vertex
from rainbow_compspec.text import GIB
from rainbow_compspec.versions import comparable, newest, older

#: The server wants a number in this element of every vertex, so no attribute may be called so.
_NOT_AN_ATTRIBUTE: Final = "size"


@dataclass(frozen=True, slots=True)
class Profile:
    """What a node's vertex of a subsystem says; nodes that are equal share it."""

    attributes: Mapping[str, str] = field(default_factory=dict)
    packages: tuple[Package, ...] = ()  # vertices below it, for people


@dataclass(frozen=True)
class SubsystemGraph(Graph):
    """A subsystem of a cluster; its edges start at ids of the cluster graph."""

    name: str
    profiles: tuple[Profile, ...]
    members: tuple[tuple[str, int], ...]  # a node's id in the cluster graph, its profile's place

    def __len__(self) -> int:
        return sum(1 + len(self.profiles[place].packages) for _, place in self.members)

    @property
    def empty(self) -> bool:
        """Whether no node has anything of it; rainbow takes no graph without edges."""
        return not self.members

    def vertices(self) -> Iterator[Vertex]:
        """A node's vertex, then its packages, node by node."""
        for node_id, place in self.members:
            own = f"{self.name}{node_id}"
            named = {"type": self.name, "basename": self.name, "name": own}
            yield Vertex(own, named | dict(self.profiles[place].attributes))
            for number, package in enumerate(self.profiles[place].packages):
                yield Vertex(f"{own}.{number}", _package_metadata(own, number, package))

    def edges(self) -> Iterator[Edge]:
        """From the node to its vertex, and on to the packages, node by node."""
        for node_id, place in self.members:
            own = f"{self.name}{node_id}"
            yield Edge(node_id, own)
            for number in range(len(self.profiles[place].packages)):
                yield Edge(own, f"{own}.{number}")


def _package_metadata(own: str, number: int, package: Package) -> dict[str, Any]:
    return {
        "type": "package",
        "basename": "package",
        "id": number,
        "name": package.name,
        "version": package.version,
        "hash": package.hash,
        "compiler": package.compiler,
        "target": package.target,
        "size": 1,
        "paths": {"containment": f"/{own}/package{number}"},
    }


def spack(facts: NodeFacts) -> Profile:
    """A node's packages in fields that rainbow's matcher can compare.

    `<package>`: its version, the newest of several; `<package>#2`, `<package>#3`: older ones, so
    that a range can find them; `<package>@<version>`: yes for each; `<package>@`: yes where no
    version can be compared, so that at least the package can be asked for.
    """
    versions: dict[str, list[str]] = {}
    for package in facts.packages:
        versions.setdefault(package.name, []).append(package.version)
    attributes = {name: newest(found) for name, found in sorted(versions.items())}
    for name, found in sorted(versions.items()):
        for place, version in enumerate(older(found), 2):
            attributes[f"{name}#{place}"] = version
        if not any(comparable(version) for version in found):
            attributes[f"{name}@"] = "yes"
        attributes.update({f"{name}@{version}": "yes" for version in sorted(set(found))})
    return Profile(attributes, facts.packages)


def system(facts: NodeFacts) -> Profile:
    """`cpu.target` (amd64, arm64), `cpu.vendor`, `cpu.model`."""
    return Profile({"cpu.target": facts.arch, "cpu.vendor": facts.vendor, "cpu.model": facts.model})


def archspec(facts: NodeFacts) -> Profile:
    """As `system`, and `cpu.microarchitecture`: zen3, with `<name>`: yes for all it can run."""
    runs = dict.fromkeys(_runs(facts.target), "yes")
    return Profile(runs | {"cpu.microarchitecture": facts.target} | dict(system(facts).attributes))


@lru_cache(maxsize=64)
def _runs(target: str) -> tuple[str, ...]:
    """The microarchitecture and its ancestors; archspec is loaded when the first is asked for."""
    if not target:
        return ()
    from archspec.cpu import TARGETS  # noqa: PLC0415 - 50 ms that `--help` must not pay

    known = TARGETS.get(target)
    return (target, *(parent.name for parent in known.ancestors)) if known else (target,)


def hardware(facts: NodeFacts) -> Profile:
    """What people ask for of a machine (docs/compspec.md has the table): GPUs, cores, memory, RDMA.

    A size is what every device has: `gpu.memory.gib` is the smallest GPU's, and is left out where
    it is not known of one.
    """
    first = facts.gpus[0] if facts.gpus else None
    memories = [gpu.memory for gpu in facts.gpus]
    known = [memory for memory in memories if memory]
    return Profile(
        {
            "hardware.gpu.available": "yes" if first else "no",
            "gpu.vendor": first.vendor if first else "",
            "gpu.model": first.model if first else "",
            "gpu.count": str(len(facts.gpus)) if first else "",
            "gpu.memory.gib": _gib(min(known)) if known and len(known) == len(memories) else "",
            "gpu.partitioned": _yes(any(gpu.partition for gpu in facts.gpus)) if first else "",
            "cpu.cores": str(len(facts.cores)) if facts.cores else "",
            "memory.gib": _gib(facts.memory),
            **_rdma(facts.rdma),
        }
    )


def _rdma(ports: Sequence[Port] | None) -> dict[str, str]:
    """`network.rdma` (yes, no), `network.rdma.<kind>`: yes, and the fastest port's rate."""
    if ports is None:
        return {}
    rates = [port.gbps for port in ports if port.gbps]
    kinds = {f"network.rdma.{kind}": "yes" for kind in sorted({port.kind for port in ports})}
    return {
        "network.rdma": _yes(bool(ports)),
        **kinds,
        "network.rdma.gbps": str(max(rates)) if rates else "",
    }


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _gib(size: int | None) -> str:
    """Whole GiB, rounded to the nearest, as a version that `min` and `max` can compare."""
    return str(round(size / GIB)) if size else ""


def os(facts: NodeFacts) -> Profile:
    """`os.name`, `os.version`, `os.release`, `os.vendor`, `os.kernel`."""
    return Profile({f"os.{name}": value for name, value in sorted(facts.os.items())})


def mpi(facts: NodeFacts) -> Profile:
    """`mpi.implementation`, `mpi.version`."""
    return Profile({f"mpi.{name}": value for name, value in sorted(facts.mpi.items())})


#: Each subsystem by its name on the wire.
SUBSYSTEMS: Final[Mapping[str, Callable[[NodeFacts], Profile]]] = MappingProxyType(
    {
        "spack": spack,
        "system": system,
        "io.archspec": archspec,
        "hardware": hardware,
        "os": os,
        "mpi": mpi,
    }
)


def subsystem_graph(
    name: str, nodes: Sequence[NodeFacts], node_ids: Sequence[str]
) -> SubsystemGraph:
    """The graph of one subsystem. A node of which nothing is known there is left out.

    Args:
        name: one of SUBSYSTEMS.
        nodes: the nodes.
        node_ids: their ids in the cluster graph, one by one.

    Raises:
        CompspecError: there is no such subsystem.
    """
    describe = SUBSYSTEMS.get(name)
    if describe is None:
        raise CompspecError(f"there is no subsystem {name!r}; known are {', '.join(SUBSYSTEMS)}")
    catalogue = _Catalogue()
    members: list[tuple[str, int]] = []
    by_packages: dict[int, int | None] = {}
    for facts, node_id in zip(nodes, node_ids, strict=True):
        if name != "spack":
            place = catalogue.place(describe(facts))
        else:
            # A list of packages is long, and nodes of one install tree share it (nodedir).
            place = by_packages.get(id(facts.packages), _UNSEEN)
            if place == _UNSEEN:
                place = by_packages[id(facts.packages)] = catalogue.place(describe(facts))
        if place is not None:
            members.append((node_id, place))
    return SubsystemGraph(name, tuple(catalogue.profiles), tuple(members))


_UNSEEN: Final = -1


class _Catalogue:
    """The different profiles of a subsystem, in the order in which they were met."""

    def __init__(self) -> None:
        self.profiles: list[Profile] = []
        self._places: dict[object, int] = {}

    def place(self, profile: Profile) -> int | None:
        """Where an equal profile stands; None when it says nothing at all."""
        attributes = {
            name: value
            for name, value in profile.attributes.items()
            if value and name != _NOT_AN_ATTRIBUTE
        }
        if not attributes:
            return None
        key = (tuple(attributes.items()), profile.packages)
        if key not in self._places:
            self._places[key] = len(self.profiles)
            self.profiles.append(Profile(attributes, profile.packages))
        return self._places[key]
