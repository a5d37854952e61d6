"""The extractor `rainbow` in node JSON: written from readings, read as facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from rainbow_compspec import __name__ as _package
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import Core, Gpu, NodeFacts, Package, Port
from rainbow_compspec.reading import Reading
from rainbow_compspec.text import cpu_list, integer, untokens

EXTRACTOR = "rainbow"
FORMAT = "1"
"""Raised when a key changes its meaning, not when keys are added."""

Sections = Mapping[str, Mapping[str, str]]
_Entries = tuple[tuple[str, str], ...]


def sections(readings: Mapping[str, Reading], name: str) -> Sections:
    """Writes readings as sections; see `node`."""
    found: dict[str, dict[str, str]] = {
        "node": {"name": name, "format": FORMAT, "made_by": _package},
        "probes": {probe: _status(reading) for probe, reading in readings.items()},
        "origin": {},
        "warnings": {},
    }
    for probe, reading in readings.items():
        found[probe] = dict(reading.values)
        found |= {table: dict(rows) for table, rows in reading.tables.items()}
        if reading.source:
            found["origin"][probe] = str(reading.origin)
        for key, origin in reading.origins.items():
            found["origin"][f"{probe}.{key}"] = str(origin)
        for number, warning in enumerate(reading.warnings):
            found["warnings"][f"{probe}.{number}"] = warning
    return {section: values for section, values in found.items() if values}


def _status(reading: Reading) -> str:
    return reading.status.value + (f": {reading.reason}" if reading.reason else "")


def facts(ours: Sections, origin: str) -> NodeFacts:
    """Reads sections as facts.

    Raises:
        CompspecError: a number is none; the message names file and key.
    """
    cpu, system, mpi = ours.get("cpu", {}), ours.get("os", {}), ours.get("mpi", {})
    memory = ours.get("memory", {})
    return NodeFacts(
        name=system.get("hostname") or ours.get("node", {}).get("name", ""),
        arch=cpu.get("arch", ""),
        vendor=cpu.get("vendor", ""),
        model=cpu.get("model", ""),
        target=cpu.get("target", ""),
        cores=_cores(ours, origin),
        gpus=_gpus(ours.get("gpu", {}), origin),
        memory=_number(memory, "memory", "usable", origin),
        rdma=_rdma(ours.get("network", {})) if "network" in ours.get("probes", {}) else None,
        packages=_packages(tuple(ours.get("package", {}).items())),
        os={key: system[key] for key in OS_KEYS if key in system},
        mpi={key: mpi[key] for key in MPI_KEYS if key in mpi},
    )


OS_KEYS = ("name", "version", "release", "vendor", "kernel")
MPI_KEYS = ("implementation", "version")


def spread(cores: int, sockets: int) -> tuple[Core, ...]:
    """Spreads cores over sockets, as even as they go, where nothing says which is where."""
    sockets = min(max(1, sockets), max(1, cores))
    return tuple(Core(number, number * sockets // cores) for number in range(cores))


def _cores(ours: Sections, origin: str) -> tuple[Core, ...]:
    """Returns the cores; when the operator gave another count, that many are spread evenly."""
    try:
        listed = _listed_cores(tuple(ours.get("core", {}).items()))
    except ValueError as exc:
        raise CompspecError(f"{origin}: rainbow.core: {exc}") from exc
    cpu = ours.get("cpu", {})
    count = _number(cpu, "cpu", "cores", origin)
    sockets = _number(cpu, "cpu", "sockets", origin)
    if count is None or (
        count == len(listed) and sockets in {None, len({core.socket for core in listed})}
    ):
        return listed
    return spread(count, sockets or 1)


@lru_cache(maxsize=256)  # the nodes of a cluster are mostly alike, and have many cores
def _listed_cores(entries: _Entries) -> tuple[Core, ...]:
    cores = []
    for key, entry in entries:
        fields = untokens(entry)
        number, socket = integer(key), integer(fields.get("socket"))
        if number is None or socket is None:
            raise ValueError(f"{key}: must be a number with `socket=<number>`, found {entry!r}")
        cores.append(
            Core(number, socket, integer(fields.get("numa")), cpu_list(fields.get("cpus")))
        )
    return tuple(sorted(cores, key=lambda core: core.id))


@lru_cache(maxsize=256)  # likewise: a shared install tree is the same on every node
def _packages(entries: _Entries) -> tuple[Package, ...]:
    found = ((key, untokens(entry)) for key, entry in entries)
    packages = (
        Package(
            name=fields["name"],
            version=fields.get("version", ""),
            hash=key,
            compiler=fields.get("compiler", ""),
            target=fields.get("target", ""),
            explicit=fields.get("explicit") == "yes",
        )
        for key, fields in found
        if fields.get("name")
    )
    return tuple(sorted(packages, key=lambda package: (package.name, package.version)))


def _gpus(section: Mapping[str, str], origin: str) -> tuple[Gpu, ...]:
    """Returns the GPUs: those that are described, cut or filled up to `count`."""
    described = {
        number
        for key in section
        if (number := integer(key.partition(".")[0])) is not None and "." in key
    }
    count = _number(section, "gpu", "count", origin)
    numbers = sorted(described) if count is None else range(count)
    return tuple(_gpu(section, number, origin) for number in numbers)


def _gpu(section: Mapping[str, str], number: int, origin: str) -> Gpu:
    def text(key: str, default: str = "") -> str:
        return section.get(f"{number}.{key}", default)

    index = _number(section, "gpu", f"{number}.index", origin)
    return Gpu(
        index=number if index is None else index,
        vendor=text("vendor", section.get("vendor", "")),
        model=text("model", section.get("model", "")),
        memory=_number(section, "gpu", f"{number}.memory", origin),
        uuid=text("uuid"),
        driver=text("driver"),
        numa=_number(section, "gpu", f"{number}.numa", origin),
        pci=text("pci"),
        partition=text("partition"),
        card=text("card"),
    )


_PORT = re.compile(r"rdma\.(.+)\.port\.(\d+)\.transport")


def _rdma(network: Mapping[str, str]) -> tuple[Port, ...]:
    """Returns the RDMA ports that are not down."""
    ports = []
    for key, kind in network.items():
        found = _PORT.fullmatch(key)
        if found is None or not kind:
            continue
        place = key.removesuffix("transport")
        if network.get(f"{place}state") == "down":
            continue
        rate = re.match(r"(\d+)(?:\.\d+)? Gb/sec", network.get(f"{place}rate", ""))
        ports.append(Port(found[1], kind, int(rate[1]) if rate else None))
    return tuple(sorted(ports, key=lambda port: port.adapter))


def _number(section: Mapping[str, str], name: str, key: str, origin: str) -> int | None:
    text = section.get(key)
    if text is None:
        return None
    if not text.isdigit():
        raise CompspecError(f"{origin}: rainbow.{name}.{key}: must be a number, found {text!r}")
    return int(text)
