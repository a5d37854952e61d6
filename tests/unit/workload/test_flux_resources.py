"""From Flux's R objects to nodes."""

from __future__ import annotations

from typing import Any

from rainbow_agent.workload.flux.resources import Codecs, pool, without_gpus


def decode_idset(text: str) -> list[int]:
    """Ids in RFC 22's notation, plain enough for a test."""
    ids: list[int] = []
    for part in text.split(",") if text else []:
        low, _, high = part.partition("-")
        ids += range(int(low), int(high or low) + 1)
    return ids


CODECS = Codecs(decode_idset, lambda text: text.split(",") if text else [])


def resources(*entries: tuple[str, str, str], hosts: str = "") -> dict[str, Any]:
    """An R object of (ranks, cores, gpus)."""
    lite = [
        {"rank": ranks, "children": {"core": cores, **({"gpu": gpus} if gpus else {})}}
        for ranks, cores, gpus in entries
    ]
    return {"version": 1, "execution": {"R_lite": lite, "nodelist": [hosts]}}


def test_nodes_have_their_names_cores_and_gpus() -> None:
    """Hosts are in the order of the ranks, however the ranks are gathered."""
    everything = resources(("0-1,3", "0-3", ""), ("2", "0-7", "0-1"), hosts="a0,a1,b0,a2")
    nodes = pool({"all": everything, "down": None, "allocated": None}, CODECS).nodes
    assert [(n.rank, n.name, n.cores, n.gpus) for n in nodes] == [
        (0, "a0", 4, 0),
        (1, "a1", 4, 0),
        (2, "b0", 8, 2),
        (3, "a2", 4, 0),
    ]
    assert all(n.up and n.cores_free == n.cores and n.gpus_free == n.gpus for n in nodes)


def test_gpus_that_are_not_given_are_counted_apart() -> None:
    """They are no part of what can be scheduled."""
    everything = resources(("0", "0-3", "0-1"), hosts="a")
    (node,) = without_gpus(pool({"all": everything}, CODECS)).nodes
    assert (node.gpus, node.gpus_free, node.gpu_ids, node.gpus_withheld) == (0, 0, (), 2)


def test_what_is_allocated_is_not_free() -> None:
    """A rank may stand in more than one entry."""
    status = {
        "all": resources(("0-1", "0-7", "0-3"), hosts="a,b"),
        "down": resources(hosts=""),
        "allocated": resources(("0", "0-1", "0"), ("0", "4", "")),
    }
    first, second = pool(status, CODECS).nodes
    assert (first.cores_free, first.gpus_free) == (5, 3)
    assert (second.cores_free, second.gpus_free) == (8, 4)


def test_a_node_that_is_down_has_nothing_free() -> None:
    """It still counts as there."""
    status = {
        "all": resources(("0-1", "0-7", "0-3"), hosts="a,b"),
        "down": resources(("1", "0-7", "0-3")),
        "allocated": None,
    }
    view = pool(status, CODECS)
    assert [n.up for n in view.nodes] == [True, False]
    assert (view.nodes[1].cores_free, view.nodes[1].gpus_free) == (0, 0)
    assert view.totals()["cores_total"] == 16
    assert view.totals()["cores_free"] == 8
    assert view.nodes_free == 1


def test_nodes_without_names_are_called_by_their_rank() -> None:
    """An R object may have no nodelist."""
    status = {"all": {"execution": {"R_lite": [{"rank": "0-1", "children": {"core": "0"}}]}}}
    assert [n.name for n in pool(status, CODECS).nodes] == ["rank0", "rank1"]


def test_nothing_at_all_is_no_node() -> None:
    """An instance whose resources are not known yet."""
    assert pool({}, CODECS).nodes == ()
