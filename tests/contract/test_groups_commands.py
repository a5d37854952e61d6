"""What runs in groups: scripts, steps, attributes of their tasks, what they write."""

from __future__ import annotations

from contextlib import closing

from rainbow_agent.core.states import TaskState
from rainbow_agent.jobspec.fluxspec import Programs
from rainbow_agent.workload.choose import Choice, open_records
from support.groups import GroupSite, states


def test_attributes_come_down(site: GroupSite) -> None:
    """Cwd and environment of a group hold in it, local tasks included; a task's own come first."""
    show = ["sh", "-c", 'echo "$PWD $A $B" >> marks']
    found = site.run(
        {
            "attributes": {"environment": {"A": "job", "B": "job"}},
            "groups": [
                {
                    "name": "g",
                    "resources": "one",
                    "attributes": {"cwd": str(site.folder), "environment": {"B": "group"}},
                    "tasks": [
                        {"local": True, "command": show},
                        {"command": show, "attributes": {"environment": {"A": "task"}}},
                    ],
                }
            ],
        }
    )
    assert set(found.values()) == {TaskState.COMPLETED}
    here = str(site.folder)
    assert site.marks.read_text().splitlines() == [f"{here} job group", f"{here} task group"]


SCRIPTS = (
    "#!/bin/bash\necho ${BASH_VERSION:+ok} >> {marks}\n",
    "#!/bin/sh -e\necho ok >> {marks}\nfalse\necho no >> {marks}\n",
    "#!/usr/bin/env python3\nopen('{marks}', 'a').write('ok\\n')\n",
    "#!/usr/bin/env -S python3 -u\nimport sys\nopen('{marks}', 'a').write('ok\\n')\n",
    "#!/bin/python3\r\nopen('{marks}', 'a').write('ok\\n')\r\n",
    "#! /usr/bin/perl -w\nopen(F, '>>', '{marks}'); print F \"ok\\n\";\n",
)


def test_scripts_run_everywhere(site: GroupSite) -> None:
    """At the top level, as a job in a group, and beside its runner; any interpreter."""
    texts = [script.replace("{marks}", str(site.marks)) for script in SCRIPTS]
    jobs = [{"command": text} for text in texts]
    local = [{"command": text, "local": True, "depends_on": []} for text in texts]
    site.run(
        {
            "tasks": [{**job, "resources": "one"} for job in jobs],
            "groups": [{"name": "g", "resources": "one", "tasks": [*jobs, *local]}],
        }
    )
    assert site.lines() == ["ok"] * 3 * len(SCRIPTS)


def test_stage_finds_what_is_there(site: GroupSite) -> None:
    """At the top level and in a group; a command with steps comes after them."""
    data = site.folder / "data"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "file").write_text("content")
    look = ["sh", "-c", f"cat {data}/deep/file >> {site.marks}; echo >> {site.marks}"]
    step = {"name": "stage", "path": str(data)}
    found = site.run(
        {
            "tasks": [
                {"name": "setup", "steps": [step]},
                {"command": look, "resources": "one", "depends_on": ["setup"]},
            ],
            "groups": [
                {"name": "g", "resources": "one", "tasks": [
                    {"name": "both", "steps": [step], "command": look},
                    {"name": "absent", "steps": [{"name": "stage", "path": "/no/such/file"}]},
                    {"command": look, "depends_on": ["absent"]},
                ]}
            ],
        },
        programs=Programs(shared_fs="no"),
    )  # fmt: skip
    assert found == states(
        setup="completed", g="failed", g__both="completed", g__absent="failed"
    ) | {
        "task-1": TaskState.COMPLETED,
        "g/both:stage": TaskState.COMPLETED,
        "g/task-2": TaskState.CANCELED,
    }
    assert site.lines() == ["content"] * 2


def test_what_is_watched_outlives_the_group(site: GroupSite) -> None:
    """Lines of local and watched tasks, those of an inner group too, are in the group's output."""
    states = site.run(
        {
            "tasks": [{"group": "outer"}],
            "groups": [
                {
                    "name": "outer",
                    "resources": "two",
                    "tasks": [
                        {"name": "here", "local": True, "command": ["echo", "beside"]},
                        {
                            "name": "kept",
                            "resources": "one",
                            "replicas": 2,
                            "attributes": {"watch": True},
                            "command": ["sh", "-c", "echo one; printf two; echo bad >&2"],
                        },
                        {"name": "gone", "resources": "one", "command": ["echo", "unseen"]},
                        {"group": "inner"},
                    ],
                },
                {
                    "name": "inner",
                    "resources": "one",
                    "tasks": [
                        {"name": "deep", "attributes": {"watch": True}, "command": ["echo", "x"]},
                    ],
                },
            ],
        }
    )
    assert set(states.values()) == {TaskState.COMPLETED}
    choice = Choice(site.place.kind, site.place.address, "the test")
    written: dict[str, bytes] = {"stdout": b"", "stderr": b""}
    with closing(open_records(choice)) as records:
        for piece in records.output([site.ids["outer"]], follow=False):
            written[piece.stream] += piece.data
    assert sorted(written["stdout"].decode().splitlines()) == [
        "outer/here: beside",
        "outer/inner/deep: x",
        "outer/kept: one",
        "outer/kept: two",
        "outer/kept[1]: one",
        "outer/kept[1]: two",
    ]
    errors = [x for x in written["stderr"].decode().splitlines() if x.startswith("outer/")]
    assert sorted(errors) == ["outer/kept: bad", "outer/kept[1]: bad"]
