"""Groups over the local workload manager and real Flux: nested instances, local tasks, order.

The documents are those of the specification (compspec/jobspec, docs/docs/spec.md and examples/),
told anew with harmless commands, and variants of them. How they fail: test_groups_failures.py;
what runs in them: test_groups_commands.py.
"""

from __future__ import annotations

from rainbow_agent.core.states import TaskState
from support.common import eventually
from support.groups import GroupSite
from support.places import lives


def test_a_group_stands_among_tasks(site: GroupSite) -> None:
    """`- group: NAME` runs there: after what it depends on, before what depends on it."""
    found = site.run(
        {
            "tasks": [
                {"name": "last", "command": site.note("last"), "resources": "one",
                 "depends_on": ["middle"]},
                {"group": "middle"},
                {"name": "first", "command": site.note("first"), "resources": "one"},
            ],
            "groups": [
                {"name": "middle", "resources": "one", "depends_on": ["first"],
                 "tasks": [{"command": site.note("inside")}]},
            ],
        }
    )  # fmt: skip
    assert set(found.values()) == {TaskState.COMPLETED}
    assert set(found) == {"first", "middle", "middle/task-0", "last"}
    assert site.lines() == ["first", "inside", "last"]
    inside = site.last("middle/task-0")
    assert inside.exit_code == 0
    group = site.last("middle")
    assert group.started
    assert inside.started
    assert inside.finished
    assert group.finished
    assert group.started <= inside.started <= inside.finished <= group.finished


def test_a_service_is_started_and_stopped_around_its_users(site: GroupSite) -> None:
    """The specification's database: local start, training and tests on it, local delete."""
    found = site.run(
        {
            "groups": [
                {
                    "name": "ml-work",
                    "resources": "two",
                    "tasks": [
                        {"name": "start", "local": True, "command": site.note("start")},
                        {"name": "train", "replicas": 3, "resources": "one",
                         "depends_on": ["start"], "command": site.note("train")},
                        {"name": "test", "replicas": 2, "resources": "one",
                         "depends_on": ["train"], "command": site.note("test")},
                        {"name": "delete", "local": True, "depends_on": ["test"],
                         "command": site.note("delete")},
                    ],
                }
            ]
        }
    )  # fmt: skip
    assert set(found.values()) == {TaskState.COMPLETED}
    assert site.lines() == ["start", *["train"] * 3, *["test"] * 2, "delete"]


def test_groups_in_groups_between_local_tasks(site: GroupSite) -> None:
    """The specification's hierarchy: a batch in a batch, with a local task on either side."""
    found = site.run(
        {
            "groups": [
                {
                    "name": "outer",
                    "resources": "two",
                    "tasks": [
                        {"local": True, "command": site.note("up")},
                        {"name": "beside", "resources": "one", "command": site.note("work")},
                        {"group": "inner"},
                        {"local": True, "command": site.note("down")},
                    ],
                },
                {
                    "name": "inner",
                    "resources": "one",
                    "tasks": [
                        {"command": site.note("work")},
                        {"name": "deep", "command": site.note("deep"), "depends_on": ["deeper"]},
                        {"group": "deeper"},
                    ],
                    "groups": [
                        {"name": "deeper", "tasks": [{"name": "x", "command": site.note("work")}]}
                    ],
                },
            ]
        }
    )
    assert set(found.values()) == {TaskState.COMPLETED}
    assert {"outer/inner/deep", "outer/inner/deeper", "outer/inner/deeper/x"} <= set(found)
    lines = site.lines()
    assert (lines[0], lines[-1]) == ("up", "down")
    assert sorted(lines[1:-1]) == ["deep", *["work"] * 3]


def test_what_a_local_task_leaves_ends_with_the_group(site: GroupSite) -> None:
    """A service in the background serves the group's tasks, and is gone when the group is."""
    service = f"sh -c 'echo $$ > {site.folder}/service; exec sleep 600' &"
    ask = f"kill -0 $(cat {site.folder}/service)"
    found = site.run(
        {
            "groups": [
                {
                    "name": "g",
                    "resources": "one",
                    "tasks": [
                        {"local": True, "command": ["sh", "-c", f"{service} sleep 0.3"]},
                        {"local": True, "command": ["sh", "-c", ask]},
                        {"local": True, "command": ["setsid", "sh", "-c",
                         f"echo $$ > {site.folder}/apart; sleep 600 &"]},
                        {"command": ["true"]},
                    ],
                }
            ]
        }
    )  # fmt: skip
    assert set(found.values()) == {TaskState.COMPLETED}
    eventually(lambda: not lives(site.pid("service")), "the service is ended")
