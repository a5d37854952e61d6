"""How long from a folder of node JSON to what rainbow gets, and how much memory that takes.

    python bench/compspec_graph.py [NODES ...]

Nodes have 128 cores, 8 GPUs and 300 packages. Each size runs in a process of its own, so that its
peak memory (getrusage) is its own. The aim (1,000 nodes): 2 s and 300 MiB.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from rainbow_compspec import node
from rainbow_compspec.cluster import cluster_graph
from rainbow_compspec.facts import NodeFacts
from rainbow_compspec.nodedir import read_node_dir
from rainbow_compspec.reading import Reading
from rainbow_compspec.simulate import Simulation, simulate
from rainbow_compspec.subsystems import SUBSYSTEMS, subsystem_graph
from rainbow_compspec.text import tokens
from rainbow_compspec.wire import encode

SIZES = (1, 10, 100, 1_000, 2_000, 5_000, 10_000)
_MIB = 1024 * 1024


def main(arguments: list[str]) -> None:
    """Print a table, a line a size."""
    if arguments[:1] == ["--measure"]:
        print(json.dumps(measure(Path(arguments[1]))))
        return
    sizes = [int(argument) for argument in arguments] or SIZES
    print(
        f"{'nodes':>7} {'read s':>7} {'cluster s':>9} {'subsys s':>8} "
        f"{'all s':>7} {'peak MiB':>8}  form"
    )
    for nodes in sizes:
        row = size(nodes)
        print(
            f"{nodes:>7,} {row.read:>7.2f} {row.cluster:>9.2f} {row.subsystems:>8.2f} "
            f"{row.total:>7.2f} {row.peak:>8.0f}  {row.form}, {row.bytes:,} bytes"
        )


@dataclass(frozen=True)
class Row:
    """One size: seconds of each step, peak memory in MiB, what was sent."""

    read: float
    cluster: float
    subsystems: float
    peak: float
    form: str
    bytes: int

    @property
    def total(self) -> float:
        """Seconds from node JSON to bytes."""
        return self.read + self.cluster + self.subsystems


def size(nodes: int) -> Row:
    """Measure one size, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        write_nodes(Path(folder), nodes)
        told = subprocess.check_output([sys.executable, __file__, "--measure", folder])
    return Row(**json.loads(told))


def measure(folder: Path) -> dict[str, object]:
    """One size: seconds a step, and this process's peak memory in MiB."""
    started = time.perf_counter()
    nodes = read_node_dir(folder).nodes
    read = time.perf_counter()
    graph = cluster_graph("bench", nodes)
    sent = encode(graph)
    clustered = time.perf_counter()
    for name in SUBSYSTEMS:
        subsystem = subsystem_graph(name, nodes, graph.node_ids)
        if not subsystem.empty:
            encode(subsystem)
    ended = time.perf_counter()
    return {
        "read": read - started,
        "cluster": clustered - read,
        "subsystems": ended - clustered,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _MIB,
        "form": f"{sent.form.value} ({sent.note})",
        "bytes": len(sent.text),
    }


def write_nodes(folder: Path, count: int) -> None:
    """Node JSON as `extract` writes it."""
    nodes = simulate(
        Simulation(nodes=count, sockets=2, cores=128, gpus=8, packages=300, memory=512), "bench"
    )
    for number, facts in enumerate(nodes):
        text = node.dumps(node.document(readings(facts), facts.name))
        (folder / f"node-{number}.json").write_text(text, encoding="utf-8")


def readings(facts: NodeFacts) -> dict[str, Reading]:
    """What the probes of such a node would say."""
    cores = {
        str(core.id): tokens({"socket": core.socket, "numa": core.numa, "cpus": core.cpus[0]})
        for core in facts.cores
    }
    packages = {
        each.hash: tokens(
            {
                "name": each.name,
                "version": each.version,
                "compiler": each.compiler,
                "target": each.target,
                "explicit": each.explicit,
            }
        )
        for each in facts.packages
    }
    gpus = {
        f"{gpu.index}.{key}": str(value)
        for gpu in facts.gpus
        for key, value in (
            ("vendor", gpu.vendor),
            ("model", gpu.model),
            ("memory", gpu.memory),
            ("numa", gpu.numa),
            ("uuid", f"GPU-{facts.name}-{gpu.index}"),
        )
    }
    cpu = {
        "arch": facts.arch,
        "vendor": facts.vendor,
        "model": facts.model,
        "target": facts.target,
        "cores": str(len(facts.cores)),
        "sockets": str(len(facts.sockets)),
    }
    return {
        "cpu": Reading("cpu", cpu, tables={"core": cores}),
        "gpu": Reading("gpu", {"count": str(len(facts.gpus)), **gpus}),
        "memory": Reading("memory", {"usable": str(facts.memory)}),
        "os": Reading("os", {**facts.os, "hostname": facts.name}),
        "spack": Reading("spack", tables={"package": packages}),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
