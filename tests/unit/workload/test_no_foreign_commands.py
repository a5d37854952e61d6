"""The daemon starts no program that a job's text names: what may start one is counted here."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import rainbow_agent

ROOT = Path(rainbow_agent.__file__).parent

#: Every module that can start a process, and what it starts.
STARTERS = {
    "runtime/service.py": "systemctl, in a shell beside the systemd unit",
    "runtime/thread_caches.py": "the same program, once more, as which the daemon begins",
    "inventory/child_process.py": "what its callers name: flux exec, our own description of a node",
    "workload/flux/install.py": "flux, to find its bindings",
    "jobs/groups/local_tasks.py": "local tasks, within a group's Flux job",
    "cli/demo.py": "our own verbs",
    "workload/local/server/__main__.py": "itself, once more, to detach",
    "workload/local/server/launch.py": "the local workload manager",
    "workload/local/server/processes.py": "tasks, as the local workload manager",
    "jobs/groups/stage.py": "flux archive, within a Flux job",
    "group_runner.py": "the old name of the group runner: becomes it",
    "staging.py": "the old name of the stage: becomes it",
}
#: Those of them that run what a job's text says: never a part of the daemon.
RUN_TASKS = (
    "rainbow_agent.jobs.groups.local_tasks",
    "rainbow_agent.workload.local.server.processes",
)
#: Calls that make code of text.
_CODE = ("eval", "exec", "pickle.loads", "marshal.loads", "yaml.unsafe_load", "yaml.full_load")
_STARTING = {"subprocess", "pty", "multiprocessing"}
_CALLS = {"system", "popen", "posix_spawn", "posix_spawnp", "execv", "execve", "execvp", "execvpe"}
_CALLS |= {"fork", "forkpty", "spawnv", "spawnl", "create_subprocess_exec"}
_CALLS |= {"create_subprocess_shell"}


def starts(tree: ast.AST) -> Iterator[str]:
    """How a module could start a process."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in _STARTING)
        elif isinstance(node, ast.ImportFrom) and node.module in _STARTING:
            yield str(node.module)
        elif isinstance(node, ast.Attribute) and node.attr in _CALLS:
            yield node.attr


def modules() -> Iterator[tuple[str, ast.AST]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield str(path.relative_to(ROOT)), ast.parse(path.read_text(encoding="utf-8"))


def test_who_can_start_a_process() -> None:
    """Only these; a change that adds one says here what it starts."""
    found = {name for name, tree in modules() if list(starts(tree))}
    assert found == set(STARTERS)


def test_no_shell_and_no_code_from_text() -> None:
    """No command goes through a shell, and no text is run as Python or unpickled."""
    bad = []
    for name, tree in modules():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            shell = any(k.arg == "shell" for k in node.keywords)
            if shell or called in _CODE:
                bad.append((name, node.lineno, called))
    assert bad == []


def test_the_daemon_cannot_run_tasks_itself() -> None:
    """What runs a job's commands is not even loaded in the daemon's process."""
    script = (
        "import sys, rainbow_agent.daemon.run\n"
        f"print([name for name in {RUN_TASKS!r} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
