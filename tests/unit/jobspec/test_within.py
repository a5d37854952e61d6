"""What stands in a group stays within what the group has."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.model import PlannedTask
from rainbow_agent.jobspec.fluxspec import Programs
from rainbow_agent.jobspec.parsing import parse
from rainbow_agent.jobspec.plan import plan


def node(count: int, cores: int = 0, gpus: int = 0, **more: Any) -> dict[str, Any]:
    inside = [{"type": t, "count": n} for t, n in (("core", cores), ("gpu", gpus)) if n]
    return {"type": "node", "count": count, **({"with": inside} if inside else {}), **more}


def planned(group: Any, task: Any, *, between: Any = None) -> tuple[PlannedTask, ...]:
    """A task in a group (in a group): each a resource, or (resource, duration)."""
    resources, made = {}, {}
    for name, what in (("g", group), ("h", between), ("t", task)):
        resource, duration = what if isinstance(what, tuple) else (what, None)
        resources[name] = resource
        made[name] = {
            "resources": name,
            **({"attributes": {"duration": duration}} if duration else {}),
        }
    tasks = {"tasks": [{"command": ["x"], **made["t"]}]}
    inner = {"groups": [{"name": "h", **made["h"], **tasks}]} if between else tasks
    document = parse(
        json.dumps(
            {
                "version": 1,
                "resources": {k: v for k, v in resources.items() if v},
                "groups": [{"name": "g", **made["g"], **inner}],
            }
        )
    )
    return plan(document, Programs("python3")).tasks


SLOTS = {"type": "node", "replicas": 4, "with": [{"type": "core", "count": 2}]}


@pytest.mark.parametrize(
    ("group", "task"),
    [
        (node(8, 4, 2), node(2, gpus=1)),
        (node(8, 4, 2), node(2, 4)),
        (node(4, 4), node(3)),
        (node(2), node(1, 64, 8)),
        (node(2), node(2)),
        (SLOTS, node(4, 2)),
        (SLOTS, {"type": "core", "count": 8}),
        (node(2, 4), {"type": "core", "replicas": 8}),
    ],
)
def test_what_the_group_has_may_be_asked_for(group: Any, task: Any) -> None:
    """All of it, a part of it; what whole nodes have is unknown beforehand."""
    assert planned(group, task)


@pytest.mark.parametrize(
    ("group", "task", "told"),
    [
        (node(2, 4), node(3, 1), "3 nodes, the group 2 nodes"),
        (node(2, 4), node(1, 5), "5 cores on a node, the group 4 cores"),
        (node(2, 4, 1), node(1, gpus=2), "2 GPUs on a node, the group 1 GPU"),
        (node(2, 4), node(1, 1, 1), "1 GPU on a node, the group 0 GPUs"),
        (node(2), node(3), "3 nodes, the group 2 nodes"),
        (SLOTS, node(5, 1), "5 nodes, the group at most 4 nodes"),
        (SLOTS, {"type": "core", "count": 9}, "9 cores, the group 8 cores"),
        (node(2, 4), {"type": "core", "count": 6}, "6 cores on a node, the group 4 cores"),
        (node(2, 4), {"type": "core", "replicas": 9}, "9 cores, the group 8 cores"),
    ],
)
def test_more_than_the_group_has_is_refused_with_both_numbers(
    group: Any, task: Any, told: str
) -> None:
    """At the task."""
    with pytest.raises(JobspecError) as caught:
        planned(group, task)
    assert str(caught.value).startswith("groups[0].tasks[0] (line 1, column ")
    assert f"asks for more than its group has: {told};" in str(caught.value)


def test_a_group_in_a_group_is_within_it_too() -> None:
    """And so is what is in that one."""
    assert planned(node(4, 4), node(1, 4), between=node(2, 4))
    with pytest.raises(JobspecError, match="3 nodes, the group 2 nodes"):
        planned(node(4, 4), node(3, 4), between=node(2, 4))
    with pytest.raises(JobspecError, match="5 nodes, the group 4 nodes"):
        planned(node(4, 4), node(3, 4), between=node(5, 4))


@pytest.mark.parametrize(
    ("group", "task"), [("1h", "1h"), ("1h", "59m"), (None, "2h"), ("1h", "0")]
)
def test_a_limit_within_the_groups_is_fine(group: str | None, task: str) -> None:
    """So is none at all: the group's end is the task's."""
    assert planned((node(1), group), (node(1), task))


def test_a_limit_beyond_the_groups_is_refused_with_both_numbers() -> None:
    """Also beyond that of the group around the group."""
    told = "may run for 7200 s, and its group only for 3600 s"
    with pytest.raises(JobspecError, match=told):
        planned((node(1), "1h"), (node(1), "2h"))
    with pytest.raises(JobspecError, match=told):
        planned((node(1), "1h"), (node(1), "2h"), between=node(1))
