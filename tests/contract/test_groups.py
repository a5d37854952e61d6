"""Groups over the local workload manager and real Flux: nested instances, local tasks, stage.

The documents are those of the specification (compspec/jobspec, docs/docs/spec.md and examples/),
told anew with harmless commands, and variants of them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from rainbow_agent.adapters.clock import SystemClock
from rainbow_agent.adapters.workloads import Choice, open_records
from rainbow_agent.environment import job_environment
from rainbow_agent.errors import JobspecError
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.programs import Programs
from rainbow_agent.model import TaskChange, TaskKey
from rainbow_agent.running import Run
from rainbow_agent.states import TaskState
from rainbow_agent.stop import Stop
from rainbow_agent.testing import Background, eventually
from rainbow_agent.testing_places import Place, lives, new_key

RESOURCES = {
    "one": {"type": "core", "count": 1},
    "two": {"type": "core", "count": 2},
}


@dataclass
class Site:
    """A workload manager, and a folder that tasks write to."""

    place: Place
    folder: Path
    told: dict[str, list[TaskChange]] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)

    @property
    def marks(self) -> Path:
        """The file that `note` appends to."""
        return self.folder / "marks"

    def note(self, word: str, then: str = "true") -> list[str]:
        """A command that appends a word to the file, and does something."""
        return ["sh", "-c", f"echo {word} >> {self.marks}; {then}"]

    def lines(self) -> list[str]:
        """The words in the file, in order."""
        return self.marks.read_text().split() if self.marks.exists() else []

    def run(
        self,
        document: Mapping[str, Any],
        *,
        meanwhile: Callable[[Run], None] | None = None,
        programs: Programs | None = None,
    ) -> dict[str, TaskState]:
        """Run a jobspec to its end; the states of its tasks by name (and [replica])."""
        whole = {"version": 1, "resources": RESOURCES, **document}
        plan = plan_text(yaml.safe_dump(whole), programs)
        with (
            closing(self.place.open()) as workload,
            closing(self.place.open()) as other,
            closing(other.open_journal(lambda _: True)) as journal,
        ):
            run = Run(
                plan,
                new_key().job,
                workload=workload,
                environment=job_environment(os.environ),
                clock=SystemClock(),
                show=self._hear,
            )
            stop = Stop()
            run.submit(stop)
            watching = Background(lambda: run.watch(journal, stop))
            watching.start()
            try:
                if meanwhile is not None:
                    meanwhile(run)
                eventually(run.over, "every task is over", seconds=120)
            finally:
                stop.set("the test is over")
                watching.end()
        return {name(key): news.state for key, news in run.latest.items()}

    def _hear(self, news: TaskChange) -> None:
        self.told.setdefault(name(news.key), []).append(news)
        if news.flux_id is not None:
            self.ids[name(news.key)] = news.flux_id

    def last(self, task: str) -> TaskChange:
        """The last news of a task."""
        return self.told[task][-1]

    def pid(self, file: str) -> int:
        """The process that wrote its number there."""
        path = self.folder / file
        eventually(lambda: path.exists() and path.read_text().strip(), f"{file} is written")
        return int(path.read_text())


def name(key: TaskKey) -> str:
    return f"{key.task}[{key.replica}]" if key.replica else key.task


@pytest.fixture
def site(place: Place, tmp_path: Path) -> Site:
    """An empty folder over a workload manager."""
    return Site(place, tmp_path)


def states(**named: str) -> dict[str, TaskState]:
    return {n.replace("__", "/"): TaskState(s) for n, s in named.items()}


def test_a_group_stands_among_tasks(site: Site) -> None:
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


def test_a_service_is_started_and_stopped_around_its_users(site: Site) -> None:
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


def test_groups_in_groups_between_local_tasks(site: Site) -> None:
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


def test_a_failure_in_a_group(site: Site) -> None:
    """What can run without it has run; the group fails and says why; its dependents never run."""
    found = site.run(
        {
            "tasks": [{"name": "after", "command": site.note("after"), "resources": "one",
                       "depends_on": ["g"]}],
            "groups": [
                {
                    "name": "g",
                    "resources": "two",
                    "tasks": [
                        {"name": "bad", "command": site.note("bad", "exit 3"), "resources": "one"},
                        {"name": "child", "command": site.note("child"), "resources": "one",
                         "depends_on": ["bad"]},
                        {"name": "grandchild", "local": True, "command": site.note("grandchild"),
                         "depends_on": ["child"]},
                        {"name": "good", "command": site.note("good"), "resources": "one"},
                        {"name": "cleanup", "local": True, "command": site.note("cleanup")},
                    ],
                }
            ],
        }
    )  # fmt: skip
    assert found == states(
        g="failed", g__bad="failed", g__child="canceled", g__grandchild="canceled",
        g__good="completed", g__cleanup="completed", after="canceled",
    )  # fmt: skip
    assert sorted(site.lines()) == ["bad", "cleanup", "good"]
    assert site.lines()[-1] == "cleanup"
    assert site.last("g/bad").exit_code == 3
    assert site.last("g").exit_code == 1
    assert "g/bad: exit code 3" in (site.last("g").reason or "")


def test_a_local_failure(site: Site) -> None:
    """A failing local task fails what depends on it, and nothing else."""
    found = site.run(
        {
            "groups": [
                {
                    "name": "g",
                    "resources": "one",
                    "tasks": [
                        {"name": "setup", "local": True, "command": site.note("setup", "exit 7")},
                        {"name": "user", "command": site.note("user"), "depends_on": ["setup"]},
                        {"name": "other", "command": site.note("other")},
                        {"name": "missing", "local": True, "command": ["no-such-program"]},
                    ],
                }
            ]
        }
    )
    assert found == states(
        g="failed", g__setup="failed", g__user="canceled", g__other="completed",
        g__missing="failed",
    )  # fmt: skip
    assert site.last("g/setup").exit_code == 7
    assert "no-such-program" in (site.last("g/missing").reason or "")
    assert site.lines() == ["setup", "other"]


def test_what_a_local_task_leaves_ends_with_the_group(site: Site) -> None:
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


def _busy_group(site: Site, **group: Any) -> dict[str, Any]:
    """A group that runs for ever: a job, and a local task with something in the background."""
    job = f"echo $$ > {site.folder}/job; exec sleep 600"
    local = f"sh -c 'echo $$ > {site.folder}/back; exec sleep 600' & wait"
    return {
        "groups": [
            {
                "name": "g",
                "resources": "two",
                "tasks": [
                    {"name": "job", "resources": "one", "command": ["sh", "-c", job]},
                    {"name": "wait", "resources": "one", "command": ["true"],
                     "depends_on": ["job"]},
                    {"name": "beside", "local": True, "depends_on": [],
                     "command": ["sh", "-c", local]},
                ],
                **group,
            }
        ],
        "tasks": [{"name": "after", "resources": "one", "command": ["true"],
                   "depends_on": ["g"]}],
    }  # fmt: skip


def test_a_group_that_is_canceled(site: Site) -> None:
    """All that runs in it ends, and what waited never runs."""
    pids: list[int] = []

    def cancel(run: Run) -> None:
        pids.extend([site.pid("job"), site.pid("back")])
        with closing(site.place.open()) as workload:
            workload.cancel([site.ids["g"]], "somebody wants it ended")

    found = site.run(_busy_group(site), meanwhile=cancel)
    assert found["g"] is TaskState.CANCELED
    assert found["after"] is TaskState.CANCELED
    assert found["g/wait"] is TaskState.CANCELED
    assert found["g/job"] is TaskState.CANCELED
    assert "somebody wants it ended" in (site.last("g").reason or "")
    eventually(lambda: not any(map(lives, pids)), "everything in it is ended")


def test_a_group_that_takes_too_long(site: Site) -> None:
    """Its duration ends everything in it; the end is told as a timeout."""
    found = site.run(_busy_group(site, attributes={"duration": "3s"}))
    assert found["g"] is TaskState.FAILED
    assert "timeout" in (site.last("g").reason or "")
    assert found["g/job"] is not TaskState.COMPLETED
    pids = [site.pid("job"), site.pid("back")]
    eventually(lambda: not any(map(lives, pids)), "everything in it is ended")


def test_a_runner_that_is_killed(site: Site) -> None:
    """The group fails, what had begun in it is lost and ended, what had not is canceled."""
    pids: list[int] = []

    def kill(run: Run) -> None:
        pids.extend([site.pid("job"), site.pid("back")])
        eventually(lambda: "g/job" in site.told, "it is told that the job runs")
        (runner,) = [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdecimal() and _is_runner(entry, site.folder)
        ]
        os.kill(runner, signal.SIGKILL)

    document = _busy_group(site, attributes={"cwd": str(site.folder)})
    found = site.run(document, meanwhile=kill)
    assert found == states(
        g="failed", g__job="lost", g__wait="canceled", g__beside="lost", after="canceled"
    ) | {"g/wait": found["g/wait"]}
    assert found["g/wait"] in (TaskState.CANCELED, TaskState.LOST)
    eventually(lambda: not any(map(lives, pids)), "everything in it is ended")


def _is_runner(process: Path, folder: Path) -> bool:
    try:
        words = (process / "cmdline").read_bytes().split(b"\0")
        return (
            b"rainbow_agent.group_runner" in words
            and b"broker" not in words
            and (process / "cwd").readlink() == folder
        )
    except OSError:
        return False


def test_what_can_never_run_in_a_group(site: Site) -> None:
    """A task that asks for more than its group has is refused with both numbers; nothing runs."""
    resources = RESOURCES | {"many": {"type": "core", "count": 100}}
    tasks = [
        {"name": "big", "resources": "many", "command": site.note("big")},
        {"name": "small", "command": site.note("small")},
    ]
    group = {"name": "g", "resources": "one", "tasks": tasks}
    with pytest.raises(JobspecError, match="100 cores, the group 1 core"):
        site.run({"resources": resources, "groups": [group]})
    assert site.lines() == []


def test_attributes_come_down(site: Site) -> None:
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


def test_scripts_run_everywhere(site: Site) -> None:
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


def test_stage_finds_what_is_there(site: Site) -> None:
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


def test_what_is_watched_outlives_the_group(site: Site) -> None:
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
