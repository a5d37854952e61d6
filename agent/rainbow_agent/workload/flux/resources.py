"""What Flux can schedule, from the answer to `resource.sched-status` (R version 1, RFC 20)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.workload.flux.bindings import Bindings

Decode = Callable[[str], Sequence[int]]
DecodeHosts = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class Codecs:
    """Decoders of Flux's two compact notations."""

    idset: Decode  # RFC 22: "0-3,7"
    hostlist: DecodeHosts  # RFC 29: "blue-[0-3]"


def codecs(bindings: Bindings) -> Codecs:
    """The decoders of libflux-idset and libflux-hostlist."""
    idsets, hostlists = bindings.extension("_idset"), bindings.extension("_hostlist")

    def decode_idset(text: str) -> list[int]:
        ids = idsets.lib.idset_decode(text.encode())
        if ids == idsets.ffi.NULL:
            raise ValueError(f"{text!r} is not an idset")
        try:
            found: list[int] = []
            current = idsets.lib.idset_first(ids)
            while current != idsets.lib.IDSET_INVALID_ID:
                found.append(current)
                current = idsets.lib.idset_next(ids, current)
            return found
        finally:
            idsets.lib.idset_destroy(ids)

    def decode_hostlist(text: str) -> list[str]:
        ffi, lib = hostlists.ffi, hostlists.lib
        hosts = lib.hostlist_decode(text.encode())
        if hosts == ffi.NULL:
            raise ValueError(f"{text!r} is not a hostlist")
        try:
            found: list[str] = []
            current = lib.hostlist_first(hosts)
            while current != ffi.NULL:
                found.append(ffi.string(current).decode())
                current = lib.hostlist_next(hosts)
            return found
        finally:
            lib.hostlist_destroy(hosts)

    return Codecs(decode_idset, decode_hostlist)


def pool(
    status: Mapping[str, Any], decode: Codecs, whereabouts: Mapping[str, Any] | None = None
) -> PoolView:
    """The nodes that Flux schedules, and what of each is free.

    Args:
        status: the answer to `resource.sched-status`: `all`, `down` (offline or drained) and
            `allocated`, each an R object, or null when it is empty.
        decode: decoders of idsets and hostlists.
        whereabouts: the answer to `resource.status`: `drain`, whose keys are idsets, and
            `online`, an idset. Without it a drained node looks like one that is down.
    """
    down = {rank for rank, _, _ in _ranks(status.get("down"), decode)}
    drained = down & _drained(whereabouts or {}, decode)
    taken: dict[int, tuple[int, int]] = {}
    for rank, cores, gpus in _ranks(status.get("allocated"), decode):
        before = taken.get(rank, (0, 0))
        taken[rank] = (before[0] + len(cores), before[1] + len(gpus))
    everything = list(_ranks(status.get("all"), decode))
    names = dict(_names(status.get("all"), decode))
    nodes = []
    for rank, cores, gpus in sorted(everything):
        up = rank not in down
        cores_taken, gpus_taken = taken.get(rank, (0, 0))
        nodes.append(
            NodeView(
                rank=rank,
                name=names.get(rank, f"rank{rank}"),
                cores=len(cores),
                gpus=len(gpus),
                up=up,
                cores_free=max(0, len(cores) - cores_taken) if up else 0,
                gpus_free=max(0, len(gpus) - gpus_taken) if up else 0,
                drained=rank in drained,
                core_ids=cores,
                gpu_ids=gpus,
            )
        )
    return PoolView(tuple(nodes))


def without_gpus(pool: PoolView) -> PoolView:
    """The same where the scheduler gives GPUs to no job."""
    return PoolView(
        tuple(
            replace(node, gpus=0, gpus_free=0, gpu_ids=(), gpus_withheld=node.gpus)
            for node in pool.nodes
        )
    )


def ranks(resources: Mapping[str, Any], decode: Codecs) -> list[int]:
    """The ranks in an R object, sorted."""
    return sorted(rank for rank, _, _ in _ranks(resources, decode))


def _drained(whereabouts: Mapping[str, Any], decode: Codecs) -> set[int]:
    """Ranks that are drained and online."""
    drained = {rank for ranks in whereabouts.get("drain") or () for rank in decode.idset(ranks)}
    return drained & set(decode.idset(whereabouts.get("online") or ""))


def _ranks(
    resources: Any, decode: Codecs
) -> Iterator[tuple[int, tuple[int, ...], tuple[int, ...]]]:
    """Each (rank, cores, gpus) of an R object; R_lite gathers ranks with equal children."""
    for entry in _execution(resources).get("R_lite") or ():
        children = entry.get("children", {})
        cores = tuple(decode.idset(children.get("core", "")))
        gpus = tuple(decode.idset(children.get("gpu", "")))
        for rank in decode.idset(entry["rank"]):
            yield rank, cores, gpus


def _names(resources: Any, decode: Codecs) -> Iterator[tuple[int, str]]:
    """Each (rank, host name): `nodelist` has the hosts in the order of the ranks (RFC 20)."""
    execution = _execution(resources)
    hosts = [name for text in execution.get("nodelist") or () for name in decode.hostlist(text)]
    ranks = [rank for e in execution.get("R_lite") or () for rank in decode.idset(e["rank"])]
    return zip(sorted(ranks), hosts, strict=False)


def _execution(resources: Any) -> Mapping[str, Any]:
    execution = resources.get("execution") if isinstance(resources, Mapping) else None
    return execution if isinstance(execution, Mapping) else {}
