"""For tests of the inventory: made-up nodes, and ranks that answer as configured."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.ports import StopSignal
from rainbow_agent.inventory.survey import Discovery, NodeAnswer, Survey
from rainbow_agent.runtime.stop import Stop
from rainbow_compspec import node
from support.common import FakeClock


def views(count: int, *, cores: int = 4, gpus: int = 0, **options: Any) -> list[NodeView]:
    """Nodes `blue-0`, `blue-1`, ..., all of them up and free."""
    return [
        NodeView(rank, f"blue-{rank}", cores, gpus, cores_free=cores, gpus_free=gpus, **options)
        for rank in range(count)
    ]


def changed(nodes: Sequence[NodeView], rank: int, **fields: Any) -> list[NodeView]:
    """The same nodes, one of them with other fields."""
    return [replace(view, **fields) if view.rank == rank else view for view in nodes]


def node_json(name: str, *, packages: Sequence[str] = (), memory: int = 8, cores: int = 4) -> str:
    """A node's description.

    Args:
        name: its hostname.
        packages: spack's, as `ior@3.3.0`.
        memory: GiB.
        cores: on one socket.
    """
    ours: dict[str, dict[str, str]] = {
        "node": {"name": name, "format": "1"},
        "cpu": {"arch": "amd64", "vendor": "AuthenticAMD", "cores": str(cores), "sockets": "1"},
        "core": {str(number): f"socket=0 cpus={number}" for number in range(cores)},
        "memory": {"usable": str(memory * 2**30)},
        "package": {
            f"hash{number}": "name={} version={}".format(*package.split("@"))
            for number, package in enumerate(packages)
        },
    }
    return node.dumps({"rainbow": {name: values for name, values in ours.items() if values}})


class FakeExtractor:
    """discovery.Extractor: every rank describes itself, unless a test says otherwise."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []
        self.answers: dict[int, NodeAnswer] = {}
        self.packages: tuple[str, ...] = ()
        self.stamped: dict[int, str] = {}
        self.stamp_looks = 0

    def ask(self, ranks: Sequence[int], stop: StopSignal) -> Iterator[NodeAnswer]:
        """The answers that a test set, and plain descriptions."""
        self.asked.append(list(ranks))
        for rank in ranks:
            if stop.is_set():
                return
            text = node_json(f"blue-{rank}", packages=self.packages)
            yield self.answers.get(rank, NodeAnswer(rank, text))

    def stamps(self, ranks: Sequence[int], stop: StopSignal) -> dict[int, str]:
        """What a test set."""
        del stop
        self.stamp_looks += 1
        return {rank: self.stamped.get(rank, "") for rank in ranks}


def survey_of(
    nodes: Sequence[NodeView],
    *,
    packages: Sequence[str] = (),
    extractor: FakeExtractor | None = None,
) -> Survey:
    """What a fresh discovery finds out about these nodes."""
    ranks = extractor or FakeExtractor()
    ranks.packages = tuple(packages) or ranks.packages
    discovery = Discovery(extractor=ranks, keep=lambda *_: None, clock=FakeClock())
    return discovery.survey(PoolView(tuple(nodes)), Stop())
