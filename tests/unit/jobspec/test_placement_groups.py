"""What stands in a group is placed in two steps: where the nodes are known, and where it runs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rainbow_agent.core.model import Plan, PlannedTask
from rainbow_agent.core.site import Site, SiteNode
from rainbow_agent.jobspec.fluxspec import Programs, tasks_within
from rainbow_agent.jobspec.parsing import parse
from rainbow_agent.jobspec.placement import needs_site, place, place_inside
from rainbow_agent.jobspec.plan import plan
from rainbow_agent.jobspec.unplaceable import Unplaceable

#: Ranks 1 and 3 have an ior.
SITE = Site(
    tuple(
        SiteNode(
            rank, f"blue-{rank}", 4, 0, traits={"spack": ({"ior": "3.3.0"},)} if rank % 2 else {}
        )
        for rank in range(4)
    )
)
IOR = {"name": "spack", "field": "ior", "min": "3.0.0"}


def nodes(count: int, *requires: dict[str, str]) -> dict[str, Any]:
    """Whole nodes."""
    return {"type": "node", "count": count, "requires": [*requires]}


def planned(groups: list[dict[str, Any]], **resources: Any) -> Plan:
    """The plan of groups."""
    document = parse(json.dumps({"version": 1, "resources": resources, "groups": groups}))
    return plan(document, Programs("python3"))


def ranks(task: PlannedTask) -> list[str] | None:
    """Where a placed task may run; None for anywhere."""
    constraints = task.jobspec["attributes"]["system"].get("constraints")
    return constraints["ranks"] if constraints else None


def inside(task: PlannedTask, *outer: int) -> dict[str, PlannedTask]:
    """The tasks of a group whose instance got these ranks, on its own ranks."""
    mine = [SiteNode(new, f"blue-{rank}", 4, 0) for new, rank in enumerate(outer)]
    _, tasks = tasks_within(json.loads(json.dumps(task.jobspec)))
    return {each.name: each for each in place_inside(tasks, mine, outer)}


TASK = {"name": "ior", "command": ["ior"], "resources": "one"}


def test_a_group_gets_the_nodes_that_what_is_in_it_requires() -> None:
    """Where there are enough; its task then goes to the nodes that pass, under their own ranks."""
    plan = planned(
        [{"name": "g", "resources": "two", "tasks": [TASK]}], two=nodes(2), one=nodes(1, IOR)
    )
    assert needs_site(plan)
    (group,) = place(plan, SITE).tasks
    assert ranks(group) == ["1,3"]
    assert ranks(inside(group, 1, 3)["g/ior"]) == ["0-1"]


def test_a_group_larger_than_what_passes_takes_what_it_gets() -> None:
    """Three nodes are asked for and two pass: any three have one of them."""
    plan = planned(
        [{"name": "g", "resources": "three", "tasks": [TASK]}], three=nodes(3), one=nodes(1, IOR)
    )
    (group,) = place(plan, SITE).tasks
    assert ranks(group) is None
    assert ranks(inside(group, 0, 2, 3)["g/ior"]) == ["2"]
    with pytest.raises(Unplaceable, match="none of the nodes here passes `requires`"):
        inside(group, 0, 2)


def test_what_no_node_passes_refuses_the_whole_job() -> None:
    """Also at depth, before anything runs."""
    deep = {"name": "g", "resources": "two", "groups": [{"name": "h", "tasks": [TASK]}]}
    plan = planned([deep], two=nodes(2), one=nodes(1, {**IOR, "min": "4.0.0"}))
    with pytest.raises(Unplaceable, match="no node here has 'ior'"):
        place(plan, SITE)


def test_a_group_in_a_group_is_placed_at_each_depth() -> None:
    """Ranks are renumbered on the way down."""
    deep = {
        "name": "g",
        "resources": "three",
        "groups": [{"name": "h", "resources": "two", "tasks": [TASK]}],
    }
    plan = planned([deep], three=nodes(3), two=nodes(2), one=nodes(1, IOR))
    (group,) = place(plan, SITE).tasks
    middle = inside(group, 1, 2, 3)["g/h"]
    assert ranks(middle) == ["0,2"]
    assert ranks(inside(middle, 0, 2)["g/h/ior"]) == ["0-1"]


def test_a_task_without_resources_takes_what_its_group_got() -> None:
    """The alternative that fits the group's instance, and without asking the nodes again."""
    big = {"type": "node", "count": 1, "with": [{"type": "core", "count": 64}]}
    bare = {"name": "t", "command": ["t"]}
    plan = planned(
        [{"name": "g", "resources": "big|small", "tasks": [bare]}], big=big, small=nodes(2)
    )
    (group,) = place(plan, SITE).tasks
    assert group.jobspec["resources"][0]["count"] == 2
    assert inside(group, 0, 1)["g/t"].jobspec["resources"][0]["count"] == 2


def test_groups_that_ask_nothing_are_left_as_they_are() -> None:
    """No site is needed for them."""
    plan = planned(
        [{"name": "g", "resources": "two", "tasks": [{**TASK, "resources": "two"}]}], two=nodes(2)
    )
    assert not needs_site(plan)
    assert place(plan, Site(())) == plan
