"""What can be scheduled decides what the graph shows; the hardware facts say what it is.

In a pod the truth about cores and GPUs is the workload manager's (Flux: R, RFC 20): affinity and
cgroups are in it, and they are not in what the hardware tells.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache

from rainbow_compspec.cluster import UNKNOWN_SOCKET
from rainbow_compspec.facts import Core, Gpu, NodeFacts


def restrict(
    facts: NodeFacts | None,
    *,
    name: str,
    rank: int,
    cores: Collection[int],
    gpus: Collection[int],
) -> NodeFacts:
    """A node with exactly these cores and GPUs.

    Args:
        facts: what the node said of itself; None when it did not answer.
        name: its hostname, as the workload manager knows it.
        rank: its broker rank.
        cores: logical ids of the cores that can be scheduled.
        gpus: numbers of the GPUs that can be scheduled.

    Returns:
        The node, its ids those of `cores` and `gpus`. One that the facts do not know is there
        without details: a core stands under no socket, a GPU has no vendor.
    """
    known = facts or NodeFacts(name=name)
    return replace(
        known,
        name=name,
        rank=rank,
        cores=_cores(known.cores, tuple(cores)),
        gpus=_gpus(known.gpus, gpus),
    )


@lru_cache(maxsize=256)  # nodes of one kind then share the result, as cluster_graph likes it
def _cores(known: tuple[Core, ...], ids: tuple[int, ...]) -> tuple[Core, ...]:
    by_id = {core.id: core for core in known}
    return tuple(by_id.get(id_, Core(id_, UNKNOWN_SOCKET)) for id_ in sorted(set(ids)))


def _gpus(known: tuple[Gpu, ...], ids: Collection[int]) -> tuple[Gpu, ...]:
    by_index = {gpu.index: gpu for gpu in known}
    return tuple(by_index.get(index, Gpu(index, vendor="")) for index in sorted(set(ids)))
