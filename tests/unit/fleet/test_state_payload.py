"""What one report says: the state that rainbow keeps of a cluster. Pure."""

from __future__ import annotations

import json

from rainbow_agent import __version__
from rainbow_agent.core.model import JobKey, JobRow
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.reporter import state_payload

POOL = PoolView(
    (
        NodeView(0, "a", cores=4, gpus=1, cores_free=4, gpus_free=1),
        NodeView(1, "b", cores=4, gpus=1, cores_free=1, gpus_free=0),
        NodeView(2, "c", cores=8, gpus=0, up=False, cores_free=8),
    )
)
NO_JOBS = dict.fromkeys(JobState, 0)


def row(job: int, state: JobState, registration: str = "r1") -> JobRow:
    return JobRow(JobKey(registration, job), "x", state, None, 1.0, None, None)


def test_a_report_has_flat_numbers_that_expressions_can_use() -> None:
    """`constraint` selection reads nodes_free, memory_per_node and the like by name."""
    state = state_payload(
        pool=POOL,
        memory_per_node=64_000_000_000,
        counts={**NO_JOBS, JobState.RUNNING: 2, JobState.RECEIVED: 1, JobState.FAILED: 9},
        recent=[],
        operator={},
        at=1715940000.12345,
        expected_wait=61.4,
    )
    assert state["expected_wait_s"] == 61
    assert state["agent_version"] == __version__
    assert state["reported"] == 1715940000.123
    assert (state["nodes_total"], state["nodes_free"]) == (3, 1)
    assert state["nodes_up"] == sum(node.up for node in POOL.nodes)
    assert (state["cores_total"], state["cores_free"]) == (16, 5)
    assert (state["gpus_total"], state["gpus_free"]) == (2, 1)
    assert (state["memory_per_node"], state["memory_gb_per_node"]) == (64_000_000_000, 64.0)
    assert (state["jobs_running"], state["jobs_open"]) == (2, 3)
    assert {f"jobs_{s.value}" for s in JobState} <= state.keys()
    json.dumps(state, allow_nan=False)


def test_a_report_has_the_states_of_the_last_jobs_by_id() -> None:
    """Ids start over with a registration: where two jobs share one, the newer is reported."""
    recent = [row(2, JobState.RUNNING, "r2"), row(1, JobState.LOST), row(2, JobState.FAILED)]
    state = state_payload(
        pool=None, memory_per_node=None, counts=NO_JOBS, recent=recent, operator={}, at=1.0
    )
    assert state["jobs"] == {"2": "running", "1": "lost"}


def test_a_report_leaves_out_what_is_not_known() -> None:
    """Rainbow merges keys: what is left out stays what it was."""
    state = state_payload(
        pool=None, memory_per_node=None, counts=NO_JOBS, recent=[], operator={}, at=1.0
    )
    assert not {"nodes_free", "cores_total", "memory_per_node"} & state.keys()


def test_a_report_says_whether_it_drains() -> None:
    """Always, since rainbow never forgets a key, and as a number, since expressions compare."""
    for draining in (True, False):
        state = state_payload(
            pool=None,
            memory_per_node=None,
            counts=NO_JOBS,
            recent=[],
            operator={},
            at=1.0,
            draining=draining,
        )
        assert state["draining"] == int(draining)
        assert state["taking"] == ("no, draining" if draining else 1)


def test_the_operators_numbers_win() -> None:
    """They know better than the agent what a node costs or has."""
    state = state_payload(
        pool=POOL,
        memory_per_node=None,
        counts=NO_JOBS,
        recent=[],
        operator={"nodes_free": 0.0, "zone": "eu"},
        at=1.0,
    )
    assert (state["nodes_free"], state["zone"]) == (0.0, "eu")
