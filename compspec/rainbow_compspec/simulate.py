"""Facts of a cluster that does not exist, to play and to measure with."""

from __future__ import annotations

from dataclasses import dataclass, fields

from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import Core, Gpu, NodeFacts, Package
from rainbow_compspec.text import GIB


@dataclass(frozen=True)
class Simulation:
    """What to make up; every node is like the others."""

    nodes: int = 1
    sockets: int = 1  # a node
    cores: int = 4  # a node, over all its sockets
    gpus: int = 0  # a node
    packages: int = 0  # of spack, on every node
    memory: int = 0  # GiB a node; 0: not known


def parse(text: str) -> Simulation:
    """Read `nodes=4,sockets=2,cores=64,gpus=8`; what is left out keeps its default.

    Raises:
        CompspecError: an unknown word, or no whole number.
    """
    names = [field.name for field in fields(Simulation)]
    given: dict[str, int] = {}
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        if name not in names:
            raise CompspecError(f"--simulate: {name!r} is none of {', '.join(names)}")
        if not number.isdecimal():
            raise CompspecError(f"--simulate: {part!r} wants a whole number, as in {name}=4")
        given[name] = int(number)
    simulation = Simulation(**given)
    if simulation.nodes < 1 or simulation.sockets < 1:
        raise CompspecError("--simulate: a cluster has at least one node and a node one socket")
    return simulation


def simulate(simulation: Simulation, prefix: str = "sim") -> tuple[NodeFacts, ...]:
    """Nodes `<prefix>-0`, `<prefix>-1`, ... as described; they share what is equal."""
    cores, gpus, packages = _cores(simulation), _gpus(simulation), _packages(simulation.packages)
    return tuple(
        NodeFacts(
            name=f"{prefix}-{number}",
            arch="amd64",
            vendor="AuthenticAMD",
            model="AMD EPYC 7763 64-Core Processor",
            target="zen3",
            cores=cores,
            gpus=gpus,
            memory=simulation.memory * GIB or None,
            packages=packages,
            os={"name": "ubuntu", "version": "24.04", "vendor": "ubuntu", "release": "24.04"},
        )
        for number in range(simulation.nodes)
    )


def _cores(simulation: Simulation) -> tuple[Core, ...]:
    count, sockets = simulation.cores, simulation.sockets
    homes = [number * sockets // count for number in range(count)]
    return tuple(Core(number, home, home, (number,)) for number, home in enumerate(homes))


def _gpus(simulation: Simulation) -> tuple[Gpu, ...]:
    count, sockets = simulation.gpus, simulation.sockets
    return tuple(
        Gpu(number, "nvidia", "NVIDIA A100-SXM4-80GB", 80 * GIB, numa=number * sockets // count)
        for number in range(count)
    )


def _packages(count: int) -> tuple[Package, ...]:
    return tuple(
        Package(
            name=f"package-{number}",
            version=f"{1 + number % 9}.{number % 7}.{number % 5}",
            hash=f"{number:032x}",
            compiler="gcc@13.2.0",
            target="zen3",
            explicit=number % 10 == 0,
        )
        for number in range(count)
    )
