"""What can be scheduled decides what the graph shows; the hardware facts say what it is.

In a pod the truth about cores and GPUs is the workload manager's (Flux: R, RFC 20): affinity and
cgroups are in it, and they are not in the hardware facts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache

from rainbow_compspec.cluster import UNKNOWN_SOCKET
from rainbow_compspec.facts import Core, Gpu, NodeFacts
from rainbow_compspec.text import format_cpus


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
        without details: a core stands under no socket, a GPU has no vendor. Where there are fewer
        GPUs than the node has, and they are not alike (MIG slices), it is not known which ones are
        given out: each has the memory of the smallest.
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


def contradictions(
    facts: NodeFacts | None, *, cores: Collection[int], gpus: Collection[int]
) -> tuple[str, ...]:
    """What the workload manager gives and the node does not have, a sentence each.

    Fewer cores than the node has are no contradiction (an operator may keep some back). Any other
    number of GPUs is: each is found by a library, and one that is missing is seldom wanted.

    Args:
        facts: what the node said of itself; None when it did not answer.
        cores: logical ids of the cores that can be scheduled.
        gpus: numbers of the GPUs that can be scheduled.
    """
    if facts is None:
        return ()
    found = []
    known = {core.id for core in facts.cores}
    missing = set(cores) - known
    if known and missing:
        found.append(
            f"the workload manager (Flux: R) gives cores {format_cpus(cores)}, the node says that "
            f"it has {len(known)} ({format_cpus(known)}); the graph shows what can be scheduled"
        )
    if len(set(gpus)) != len(facts.gpus):
        parts = [gpu.partition for gpu in facts.gpus if gpu.partition]
        slices = (
            f", of which {len(parts)} are parts of a card ({', '.join(parts)})" if parts else ""
        )
        found.append(
            f"the workload manager (Flux: R) gives {len(set(gpus))} GPUs, the node says that it "
            f"has {len(facts.gpus)}{slices}; the graph shows what can be scheduled"
        )
    return tuple(found)


def _gpus(known: tuple[Gpu, ...], ids: Collection[int]) -> tuple[Gpu, ...]:
    sizes = {gpu.memory for gpu in known}
    if len(set(ids)) < len(known) and len(sizes) > 1:
        least = None if None in sizes else min(size for size in sizes if size is not None)
        known = tuple(replace(gpu, memory=least) for gpu in known)
    by_index = {gpu.index: gpu for gpu in known}
    return tuple(by_index.get(index, Gpu(index, vendor="")) for index in sorted(set(ids)))
