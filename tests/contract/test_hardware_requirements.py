"""What jobs can ask of the hardware: every example in docs/compspec.md, asked of a matcher."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import yaml

from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_compspec.cluster import cluster_graph
from rainbow_compspec.facts import Core, Gpu, NodeFacts, Port
from rainbow_compspec.subsystems import subsystem_graph
from rainbow_compspec.wire import encode
from support.servers import Join

DOCS: Final = Path(__file__).parents[2] / "docs" / "compspec.md"
GIB: Final = 1 << 30

_MODEL = "NVIDIA A100-SXM4-80GB"
RICH: Final = NodeFacts(
    "rich",
    cores=tuple(Core(number, 0) for number in range(64)),
    gpus=tuple(Gpu(number, "nvidia", _MODEL, memory=80 * GIB) for number in range(2)),
    memory=512 * GIB,
    rdma=(Port("mlx5_0", "infiniband", 400),),
)
"""A node that every example asks for."""

DIVIDED: Final = NodeFacts(
    "divided",
    cores=RICH.cores[:8],
    gpus=(
        Gpu(0, "amd", "AMD Instinct MI300X OAM", memory=24 * GIB, partition="cpx", card="GPU-1"),
    ),
    memory=64 * GIB,
    rdma=(),
)
"""One with a GPU that none of them asks for."""

BARE: Final = NodeFacts("bare", cores=RICH.cores[:4], memory=8 * GIB, rdma=())
"""One without."""


def _examples() -> list[dict[str, str]]:
    text = DOCS.read_text(encoding="utf-8")
    table = text.partition("### What jobs can ask of the hardware")[2].partition("\n## ")[0]
    return [yaml.safe_load(found) for found in re.findall(r"`(\{name: hardware.*?\})` \|", table)]


EXAMPLES: Final = _examples()


def _job(entry: dict[str, str]) -> dict[str, Any]:
    node = {"type": "node", "count": 2, "requires": [entry], "with": [{"type": "core", "count": 1}]}
    return {
        "version": 1,
        "resources": {"r": node},
        "tasks": [{"command": ["true"], "resources": "r"}],
    }


@contextmanager
def _joined(join: Join, scheduler: RainbowScheduler, node: NodeFacts) -> Iterator[str]:
    """A cluster of two such nodes."""
    cluster = cluster_graph("any", (node, node))
    name, credentials = join(encode(cluster).text)
    graph = encode(subsystem_graph("hardware", (node, node), cluster.node_ids)).text
    scheduler.register_subsystem(name, credentials.secret, "hardware", graph)
    try:
        yield name
    finally:
        scheduler.deregister(name, credentials.secret)


def test_every_field_has_an_example() -> None:
    """Each line of the table has one, and what it names is what a node says."""
    said = {
        key
        for node in (RICH, DIVIDED, BARE)
        for profile in subsystem_graph("hardware", (node,), ("1",)).profiles
        for key in profile.attributes
    }
    assert {entry["field"] for entry in EXAMPLES} == said


def test_the_examples_choose_between_clusters(join: Join, scheduler: RainbowScheduler) -> None:
    """Each finds the cluster that has it, and never one that has not."""
    with (
        _joined(join, scheduler, RICH) as rich,
        _joined(join, scheduler, DIVIDED) as divided,
        _joined(join, scheduler, BARE) as bare,
    ):
        for entry in EXAMPLES:
            found = set(scheduler.satisfy(_job(entry)).clusters)
            expected = {rich} | ({divided} if entry["field"] == "hardware.gpu.available" else set())
            assert found & {rich, divided, bare} == expected, entry


def test_a_partition_is_not_a_card(join: Join, scheduler: RainbowScheduler) -> None:
    """Who asks for 24 GiB may get a part of a card; who asks for a whole card does not."""
    with _joined(join, scheduler, DIVIDED) as divided:
        enough = {"name": "hardware", "field": "gpu.memory.gib", "min": "24"}
        whole = {"name": "hardware", "field": "gpu.partitioned", "match": "no"}
        assert divided in scheduler.satisfy(_job(enough)).clusters
        assert divided not in scheduler.satisfy(_job(whole)).clusters
