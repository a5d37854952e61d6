"""What a job's folder and environment hold decides nothing of the programs that run its groups."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from rainbow_agent.core.states import TaskState
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.jobspec.fluxspec import Programs
from rainbow_agent.workload.local.workload import LocalWorkload, shut_down
from support.groups import GroupSite, Node, states
from support.servers import SchedulerKind, SchedulerProcess, make_graph

#: Modules that our programs import, or that Python itself does for them.
SHADOWS = (
    *("json", "logging", "secrets", "random", "queue", "typing", "select", "enum", "re", "socket"),
    *("functools", "argparse", "subprocess", "dataclasses", "threading", "tempfile", "yaml"),
    *("psutil", "sitecustomize", "usercustomize", "rainbow_agent", "rainbow_compspec"),
)


def spoil(folder: Path) -> Path:
    """A folder with a file for each of these names, which ends the process that imports it."""
    folder.mkdir()
    for name in SHADOWS:
        (folder / f"{name}.py").write_text(f"raise SystemExit('this is the job\\'s {name}.py')\n")
    return folder


def against_us(folder: Path) -> dict[str, str]:
    """An environment as bad for a Python program, and for a shell script, as one can be."""
    script = folder / "rc"
    script.write_text(f"echo sourced >> {folder}/sourced; exit 3\n")
    home = folder / "home"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = home / ".local/lib" / version / "site-packages"
    packages.mkdir(parents=True)
    (packages / "usercustomize.py").write_text("raise SystemExit('usercustomize')\n")
    return {
        "HOME": str(home),
        "BASH_ENV": str(script),
        "ENV": str(script),
        "PATH": "/usr/bin:/bin",
        "PYTHONHOME": "/nothing/here",
        "PYTHONPATH": str(folder),
        "PYTHONSTARTUP": str(folder / "json.py"),
        "PYTHONUSERBASE": str(home / ".local"),
        "PYTHONPLATLIBDIR": "nowhere",
        "PYTHONOPTIMIZE": "2",
        "PYTHONINSPECT": "1",
        "PYTHONVERBOSE": "1",
        "PYTHONDEBUG": "1",
        "PYTHONWARNINGS": "error",
        "PYTHONUTF8": "0",
        "PYTHONIOENCODING": "ascii",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONBREAKPOINT": "nothing.at_all",
        "LC_ALL": "C",
        "RAINBOW_NEST_DIR": str(folder / "nest"),
        "RAINBOW_NEST_CORES": "1",
        "RAINBOW_NEST_EVENTS": str(folder / "events"),
        "RAINBOW_GROUP_KEY": '{"registration": "zz", "job": 1, "task": "g", "replica": 0}',
        "RAINBOW_GROUP_MARK": "another group's",
        "RAINBOW_STATE_DIR": str(folder / "state"),
        "FLUX_CONF_DIR": "/nothing/here",
    }


def group_in(site: GroupSite, folder: Path, environment: dict[str, str]) -> Node:
    """A group in that folder with a job, a local task and a stage in it."""
    data = site.folder / "data"
    data.write_text("content")
    return {
        "groups": [
            {
                "name": "g",
                "resources": "one",
                "attributes": {"cwd": str(folder), "environment": environment},
                "tasks": [
                    {"name": "there", "steps": [{"name": "stage", "path": str(data)}]},
                    {"name": "job", "command": site.note("job")},
                    {"name": "beside", "local": True, "command": site.note("beside")},
                ],
            }
        ]
    }


def test_a_job_shadows_no_module_of_ours(site: GroupSite) -> None:
    """A folder full of our modules' names, and every variable that steers Python or a shell."""
    folder = spoil(site.folder / "cwd")
    found = site.run(group_in(site, folder, against_us(folder)))
    assert found == states(
        g="completed", g__there="completed", g__job="completed", g__beside="completed"
    )
    assert sorted(site.lines()) == ["beside", "job"]
    assert not (folder / "nest").exists()
    assert not (folder / "events").exists()


def test_tasks_of_a_group_have_its_environment_all_the_same(site: GroupSite) -> None:
    """What is kept from the broker and the runner is there for the tasks, in groups below too."""
    show = ["/bin/sh", "-c", f'echo "$PYTHONHOME" >> {site.marks}']
    found = site.run(
        {
            "groups": [
                {
                    "name": "g",
                    "resources": "one",
                    "attributes": {"environment": {"PYTHONHOME": "/of/the/user"}},
                    "tasks": [
                        {"name": "job", "command": show},
                        {"name": "beside", "local": True, "command": show},
                        {"name": "h", "group": "h"},
                    ],
                    "groups": [
                        {"name": "h", "resources": "one", "tasks": [{"name": "x", "command": show}]}
                    ],
                }
            ]
        }
    )
    assert set(found.values()) == {TaskState.COMPLETED}
    assert site.lines() == ["/of/the/user"] * 3


@dataclass(frozen=True)
class ProgramsOf01(Programs):
    """How release 0.1 wrote the commands of jobs that wait in Flux's queue during an upgrade."""

    def group_runner(self, file: str) -> tuple[str, ...]:
        """See Programs."""
        return (self.python, "-m", "rainbow_agent.group_runner", file)

    def stage(self, paths: Sequence[str]) -> tuple[str, ...]:
        """See Programs."""
        shared = f"--shared-fs={self.shared_fs}"
        return (self.python, "-m", "rainbow_agent.staging", shared, "--", *paths)


def test_jobs_that_the_last_release_submitted_still_run(site: GroupSite) -> None:
    """A group, a group in it, and stages at both levels, with the commands of release 0.1."""
    data = site.folder / "data"
    data.write_text("content")
    folder = site.folder / "cwd"
    folder.mkdir()
    (folder / "json.py").write_text("raise SystemExit('this is the job\\'s json.py')\n")
    step = {"name": "stage", "path": str(data)}
    found = site.run(
        {
            "tasks": [{"name": "there", "steps": [step]}],
            "groups": [
                {
                    "name": "g",
                    "resources": "one",
                    "attributes": {"cwd": str(folder)},
                    "tasks": [
                        {"name": "there", "steps": [step]},
                        {"name": "job", "command": site.note("job")},
                        {"name": "h", "group": "h"},
                    ],
                    "groups": [
                        {
                            "name": "h",
                            "resources": "one",
                            "tasks": [{"name": "x", "command": site.note("x")}],
                        }
                    ],
                }
            ],
        },
        programs=ProgramsOf01(shared_fs="no"),
    )
    assert set(found.values()) == {TaskState.COMPLETED}
    assert sorted(site.lines()) == ["job", "x"]


def test_the_local_workload_manager_starts_under_its_old_name(tmp_path: Path) -> None:
    """`python -m rainbow_agent.embedded.workload`, as release 0.1 had it."""
    command = [sys.executable, "-m", "rainbow_agent.embedded.workload"]
    started = subprocess.run(
        [*command, "--detach", "--dir", str(tmp_path / "w")],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    try:
        assert started.returncode == 0, started.stderr
        with closing(LocalWorkload(tmp_path / "w", launch=False)) as workload:
            assert workload.resources().nodes
    finally:
        shut_down(tmp_path / "w")


class SchedulerOf01(SchedulerProcess):
    """The embedded scheduler by the command of release 0.1."""

    def _command(self) -> list[str]:
        _program, _verb, *flags = super()._command()
        return [sys.executable, "-m", "rainbow_agent.embedded.scheduler", *flags]


def test_the_embedded_scheduler_starts_under_its_old_name(tmp_path: Path) -> None:
    """`python -m rainbow_agent.embedded.scheduler`, as release 0.1 had it."""
    server = SchedulerOf01(SchedulerKind.EMBEDDED, tmp_path, "s", "")
    server.start()
    try:
        with closing(RainbowScheduler(server.host)) as scheduler:
            assert scheduler.register("blue", "s", make_graph()).secret
    finally:
        server.stop()


def test_the_local_workload_manager_starts_in_any_surroundings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a folder full of our modules' names and with Python's variables set against it."""
    folder = spoil(tmp_path / "cwd")
    for name, value in against_us(folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)
    place = tmp_path / "w"
    try:
        with closing(LocalWorkload(place)) as workload:
            assert workload.resources().nodes
    finally:
        shut_down(place)
        shutil.rmtree(folder)
