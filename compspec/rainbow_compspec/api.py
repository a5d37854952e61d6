"""The Python API of rainbow-compspec: describe a node, and make a cluster's graph (docs/python.md).

What `__all__` names keeps its name and meaning, as the command line does.

>>> from rainbow_compspec.api import cluster_graph, simulated
>>> graph = cluster_graph("blue", simulated("nodes=2,sockets=2,cores=8,gpus=1"))
>>> graph.counts()["core"]
16
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from rainbow_compspec import simulate
from rainbow_compspec.cluster import ClusterGraph, cluster_graph
from rainbow_compspec.describe import describe, host_at
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import NodeFacts
from rainbow_compspec.jgf import dumps as graph_json
from rainbow_compspec.node import Document, load, to_facts
from rainbow_compspec.node import dumps as node_json
from rainbow_compspec.nodedir import NodeDir, read_node_dir

__all__ = [
    "ClusterGraph",
    "CompspecError",
    "Document",
    "NodeDir",
    "NodeFacts",
    "cluster_graph",
    "extract",
    "graph_json",
    "load",
    "node_json",
    "read_node_dir",
    "simulated",
    "to_facts",
]


def extract(
    root: str | os.PathLike[str] = "/",
    *,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    values: Mapping[str, Mapping[str, str]] | None = None,
) -> Document:
    """Describe a node, as `rainbow-compspec extract` does: `node_json` writes it as a file.

    A probe that fails says why in the description and does not stop the others.

    Args:
        root: where the machine's file system is mounted, or a recorded tree.
        only: the probes to ask; empty for all.
        skip: the probes not to ask.
        values: probe -> key -> value, in place of what is found.

    Raises:
        CompspecError: a probe or a key is named that there is not, a value does not fit its key, or
            `root` is not to be read.
    """
    return describe(host_at(Path(root)), only=only, skip=skip, values=values)


def simulated(text: str, prefix: str = "sim") -> tuple[NodeFacts, ...]:
    """Nodes that are made up, all alike, for cluster_graph().

    Args:
        text: `nodes=4,sockets=2,cores=64,gpus=8,packages=300,memory=512`; cores and GPUs are a
            node's, memory is in GiB; what is left out is one node with 4 cores.
        prefix: they are called `<prefix>-0`, `<prefix>-1`, ...

    Raises:
        CompspecError: an unknown word, or no whole number.
    """
    return simulate.simulate(simulate.parse(text), prefix)
