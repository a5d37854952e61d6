"""Nodes as a workload manager schedules them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rainbow_agent.core.node_resources import NodeView, PoolView

NODE = NodeView(rank=0, name="blue-0", cores=4, gpus=1, cores_free=4, gpus_free=1)


def test_what_is_free_makes_no_other_nodes() -> None:
    """A job that starts or ends is no reason to describe the cluster anew."""
    pool = PoolView((NODE, replace(NODE, rank=1)))
    busy = PoolView((replace(NODE, cores_free=0, gpus_free=0), replace(NODE, rank=1)))
    assert pool.same_nodes(busy)
    assert pool.same_nodes(pool)


@pytest.mark.parametrize(
    "change",
    [{"up": False}, {"drained": True}, {"cores": 2}, {"name": "red-0"}, {"core_ids": (1,)}],
)
def test_any_other_change_does(change: dict[str, object]) -> None:
    """One node less does, too."""
    pool = PoolView((NODE,))
    assert not pool.same_nodes(PoolView((replace(NODE, **change),)))  # type: ignore[arg-type]
    assert not pool.same_nodes(PoolView(()))
