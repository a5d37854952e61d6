"""`rainbow-agent demo`: the main job, end to end, on embedded parts."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import click

from rainbow_agent.cli.common import POLL_INTERVAL_S, fail, reports_errors, say
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import JobRow
from rainbow_agent.core.states import FINAL_JOB_STATES
from rainbow_agent.monitoring.views import table, task_view
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.logs import counted
from rainbow_agent.runtime.own_program import own_program

#: Seconds until the demo gives up.
STEP_TIMEOUT_S = 60.0

JOBSPEC = """\
version: 1
name: spack-ior
resources:
  spack-resources:
    type: node
    count: 1
    with:
    - {{type: core, count: {cores}}}
tasks:
- name: ior
  depends_on: [build]
  resources: spack-resources
  command: [bash, -c, "echo 'here ior would write 10g'; sleep 1"]
- name: build
  resources: spack-resources
  command: [bash, -c, "echo 'here spack would install ior'; sleep 1"]
"""


@click.command(name="demo")
@reports_errors
def command() -> None:
    """Run scheduler, agent and workload manager on this machine, and two jobs through them.

    Registers this machine as cluster `demo`, submits a job of two tasks and a plain command, and
    shows their progress. Everything is cleaned up at the end.

    Example: rainbow-agent demo
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rainbow-demo-")))
        environ = _environment(folder)
        host = stack.enter_context(_scheduler(folder, environ))
        environ["RAINBOW_HOST"] = host
        say(f"scheduler   embedded, on {host}")
        stack.enter_context(_agent(folder, environ))
        status = _wait_registered(folder, environ)
        cores = status["resources"]["cores_total"]
        say(f"agent       registered this machine as cluster demo: {counted(cores, 'core')}")
        jobspec = folder / "jobspec-spack.yaml"
        jobspec.write_text(JOBSPEC.format(cores=min(10, cores)))
        for arguments in ([str(jobspec)], ["--name", "hello", "--", "echo", "hello from rainbow"]):
            answer = _call(environ, "submit", *arguments)
            say(f"submit      {answer.strip()}")
        rows = _watch(folder, expected=2)
    click.echo("\n" + _summary(rows))
    good = all(row.state.value == "completed" for row in rows)
    click.echo("\nAll tasks completed." if good else "\nNot all tasks completed.")
    if not good:
        raise SystemExit(1)


def _environment(folder: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("RAINBOW_")}
    return {
        **inherited,
        "RAINBOW_CLUSTER": "demo",
        "RAINBOW_SECRET": secrets.token_hex(16),
        "RAINBOW_STATE_DIR": str(folder / "state"),
        "RAINBOW_WORKLOAD": "local",
        "RAINBOW_LOG_FORMAT": "text",
        "RAINBOW_HTTP": "off",
    }


def _command(*arguments: str) -> list[str]:
    return [*own_program("rainbow_agent.cli", *arguments)]


def _call(environ: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        _command(*arguments), env=environ, capture_output=True, text=True, check=False, timeout=30
    )
    if done.returncode:
        fail(RainbowAgentError(f"`rainbow-agent {arguments[0]}` failed: {done.stderr.strip()}"))
    return done.stdout


@contextmanager
def _process(command: list[str], environ: Mapping[str, str], log: Path) -> Iterator[Path]:
    """A process of ours, ended with SIGTERM; its output goes to a file."""
    with log.open("wb") as out, subprocess.Popen(command, env=environ, stdout=out, stderr=out) as p:
        try:
            yield log
        finally:
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(timeout=15)
            except subprocess.TimeoutExpired:
                p.kill()


@contextmanager
def _scheduler(folder: Path, environ: Mapping[str, str]) -> Iterator[str]:
    arguments = ("scheduler", "--host", "127.0.0.1:0", "--db", str(folder / "rainbow.db"))
    log = folder / "scheduler.log"
    with _process(_command(*arguments), environ, log):
        yield _until(lambda: _address(log), "the scheduler did not start", log)


def _address(log: Path) -> str | None:
    for line in log.read_text().splitlines():
        if "listening on " in line:
            return line.rpartition("listening on ")[2].strip()
    return None


@contextmanager
def _agent(folder: Path, environ: Mapping[str, str]) -> Iterator[Path]:
    from rainbow_agent.workload.local.workload import LocalWorkload  # noqa: PLC0415 - used last

    try:
        with _process(_command("start"), environ, folder / "agent.log") as log:
            yield log
    finally:
        LocalWorkload(folder / "state" / "workload", launch=False).shutdown()


def _wait_registered(folder: Path, environ: Mapping[str, str]) -> Any:
    def look() -> Any:
        done = subprocess.run(
            _command("status", "-o", "json"), env=environ, capture_output=True, check=False
        )
        view = json.loads(done.stdout or "{}")
        known = view.get("registration") and view["resources"]["cores_total"]
        return view if known else None

    return _until(look, "the agent did not register", folder / "agent.log")


def _until(look: Any, what: str, log: Path) -> Any:
    clock, pause = SystemClock(), threading.Event()
    end = clock.monotonic() + STEP_TIMEOUT_S
    while clock.monotonic() < end:
        found = look()
        if found:
            return found
        pause.wait(POLL_INTERVAL_S)
    said = log.read_text()[-2000:]
    raise RainbowAgentError(f"{what} within {STEP_TIMEOUT_S:.0f} s; its last words:\n{said}")


def _watch(folder: Path, expected: int) -> list[JobRow]:
    """Show each change as it comes, until all jobs are over."""
    from rainbow_agent.storage.ledger import SqliteLedger  # noqa: PLC0415 - sqlite

    shown: set[tuple[str, str]] = set()
    with closing(SqliteLedger.open_readonly(folder / "state" / "ledger.sqlite")) as ledger:

        def look() -> list[JobRow] | None:
            rows = ledger.jobs()
            for row in rows:
                for task in row.tasks:
                    line = (f"{row.name}/{task.key.task}", task.state.value)
                    if line not in shown:
                        shown.add(line)
                        say(f"progress    {line[0]:<18} {line[1]}")
            over = len(rows) >= expected and all(row.state in FINAL_JOB_STATES for row in rows)
            return rows if over else None

        rows: list[JobRow] = _until(look, "the jobs did not end", folder / "agent.log")
    return rows


def _summary(rows: list[JobRow]) -> str:
    header = ["JOB", "TASK", "STATE", "EXIT", "STARTED", "FINISHED", "DEPENDS ON"]
    lines = []
    for row in rows:
        for task in row.tasks:
            view = task_view(task)
            code = "-" if view["exit_code"] is None else str(view["exit_code"])
            times = [view["started"] or "-", view["finished"] or "-"]
            needs = ", ".join(view["depends_on"]) or "-"
            lines.append([row.name, view["name"], view["state"], code, *times, needs])
    return table(header, lines)
