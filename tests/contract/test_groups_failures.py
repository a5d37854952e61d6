"""How groups fail and end before their time, over the local workload manager and real Flux."""

from __future__ import annotations

import os
import signal
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.states import TaskState
from rainbow_agent.jobs.run_once import Run
from support.common import eventually
from support.groups import RESOURCES, GroupSite, states
from support.places import lives


def test_a_failure_in_a_group(site: GroupSite) -> None:
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


def test_a_local_failure(site: GroupSite) -> None:
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


def _busy_group(site: GroupSite, **group: Any) -> dict[str, Any]:
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


def test_a_group_that_is_canceled(site: GroupSite) -> None:
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


def test_a_group_that_takes_too_long(site: GroupSite) -> None:
    """Its duration ends everything in it; the end is reported as a timeout."""
    found = site.run(_busy_group(site, attributes={"duration": "12s"}))
    assert found["g"] is TaskState.FAILED
    assert "timeout" in (site.last("g").reason or "")
    assert found["g/job"] is not TaskState.COMPLETED
    pids = [site.pid("job"), site.pid("back")]
    eventually(lambda: not any(map(lives, pids)), "everything in it is ended")


def test_a_runner_that_is_killed(site: GroupSite) -> None:
    """The group fails, what had begun in it is lost and ended, what had not is canceled."""
    pids: list[int] = []

    def kill(run: Run) -> None:
        pids.extend([site.pid("job"), site.pid("back")])
        eventually(lambda: "g/job" in site.changes, "it is reported that the job runs")
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
            b"rainbow_agent.jobs.groups" in words
            and b"broker" not in words
            and (process / "cwd").readlink() == folder
        )
    except OSError:
        return False


def test_what_can_never_run_in_a_group(site: GroupSite) -> None:
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
