"""Tables and pictures fit the terminal, show what is cut, and give a pipe everything."""

from __future__ import annotations

import io
import os
import pty
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rainbow_agent.cli import terminal
from rainbow_agent.cli.job_tables import jobs_table, tasks_table
from rainbow_agent.cli.terminal import Screen
from rainbow_agent.core.model import JobKey, JobRow, TaskKey, TaskKind, TaskRow, WaitForNodes
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.monitoring.views import table

KEY = JobKey("r1", 1)


def a_task(name: str, state: TaskState, position: int, reason: str | None = None) -> TaskRow:
    return TaskRow(
        key=TaskKey(KEY, name, 0),
        position=position,
        kind=TaskKind.JOB,
        group=None,
        depends_on=(),
        state=state,
        flux_id=None,
        exit_code=None,
        submitted=None,
        started=None,
        finished=9.0,
        reason=reason,
    )


def a_job(*tasks: TaskRow, name: str = "n" * 99, reason: str | None = "r" * 999) -> JobRow:
    return JobRow(KEY, name, JobState.FAILED, reason, 0.0, None, 10.0, tasks)


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> int:
    """Standard output is a terminal of 80 columns."""
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    monkeypatch.setattr("rainbow_agent.cli.job_tables.is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    return 80


def test_a_terminal_gets_lines_that_fit_and_show_what_is_cut(columns: int) -> None:
    """Names and reasons give way; ages take the place of times."""
    lines = jobs_table([a_job()], 70.0).splitlines()
    assert all(len(line) <= columns for line in lines)
    assert "nn… " in lines[1].replace("...", "…")
    assert lines[1].endswith(("r…", "r..."))
    assert "60 s ago" in lines[1]


def test_a_terminal_that_does_not_say_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """A serial console has 0 lines of 0 columns: it gets the usual 24 of 80."""
    monkeypatch.setattr(shutil, "get_terminal_size", lambda: os.terminal_size((0, 0)))
    monkeypatch.setattr(terminal, "is_terminal", lambda: True)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    Screen().show("\n".join(f"line {n}" for n in range(99)))
    assert written.getvalue().count("\n") == 23
    assert terminal.columns() == 80


def test_a_pipe_gets_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole names, whole reasons, exact times, no colour."""
    monkeypatch.setattr(terminal, "is_terminal", lambda: False)
    monkeypatch.setattr("rainbow_agent.cli.job_tables.is_terminal", lambda: False)
    line = jobs_table([a_job()], 70.0).splitlines()[1]
    assert "n" * 99 in line
    assert line.endswith("1970-01-01T00:00:10.000Z  " + "r" * 999)
    assert "\x1b" not in line


def test_the_reason_names_the_task_that_decided() -> None:
    """Of a job with several; not the one that was canceled for it."""
    failed = a_task("solve-b", TaskState.FAILED, 1, "exit code 4")
    after = a_task("post", TaskState.CANCELED, 2, "dependency: ...")
    several = a_job(a_task("solve-a", TaskState.COMPLETED, 0), failed, after, reason="exit code 4")
    assert jobs_table([several], 0.0).endswith("solve-b: exit code 4")
    alone = a_job(failed, reason="exit code 4")
    assert jobs_table([alone], 0.0).endswith("Z  exit code 4")


def test_states_have_colour_on_a_terminal_unless_it_is_not_wanted(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the columns stay in line."""
    job = a_job(a_task("solve", TaskState.FAILED, 0), name="job", reason="exit code 4")
    plain = jobs_table([job], 70.0)
    assert "\x1b" not in plain
    monkeypatch.delenv("NO_COLOR")
    for text in (jobs_table([job], 70.0), tasks_table(job.tasks, 70.0)):
        assert "\x1b[31m\x1b[1mfailed\x1b[0m " in text
    assert columns


@pytest.mark.parametrize("width", [20, 40, 77, 200])
def test_columns_give_way_in_order_and_not_below_what_says_something(width: int) -> None:
    """The first that may is cut first; then the next; the others stay whole."""
    text = table(
        ["ID", "NAME", "WHY"],
        [["1", "n" * 30, "w" * 40], ["22", "short", "w"]],
        width=width,
        yielding=("WHY", "NAME"),
    )
    lines = text.splitlines()
    least = len("22  ") + 8 + len("  ") + 8
    assert max(map(len, lines)) <= max(width, least)
    assert ("n" * 30 in text) == (width >= 4 + 30 + 2 + 8)
    assert ("w" * 40 in text) == (width >= 4 + 30 + 2 + 40)


def test_a_watch_on_a_terminal_has_a_screen_of_its_own(tmp_path: Path) -> None:
    """It is left again, and the last picture stays readable."""
    ours, theirs = pty.openpty()
    environ = {"PATH": os.environ["PATH"], "HOME": "/", "TERM": "xterm", "NO_COLOR": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "rainbow_agent.cli", "status", "--watch"],
        env={**environ, "RAINBOW_STATE_DIR": str(tmp_path), "RAINBOW_CLUSTER": "blue"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        while b"jobs " not in shown and shown.count(b"\x1b[H") < 3:
            shown += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        try:
            while more := os.read(ours, 4096):
                shown += more
        except OSError:  # the other end is closed
            pass
    os.close(ours)
    assert process.returncode == 0
    assert shown.startswith(b"\x1b[?1049h")
    picture, _, after = shown.partition(b"\x1b[?1049l")
    assert b"stopped" in picture
    assert b"jobs " in picture
    assert after.startswith(b"stopped")


def test_a_job_that_waits_for_nodes_says_so() -> None:
    """In the place of the reason for its end; of several tasks, which one."""
    waits = WaitForNodes("blue-3 (drained)", 1.0)
    solve = replace(a_task("solve", TaskState.PENDING, 1), waits=waits)
    words = "it waits for nodes to be up: blue-3 (drained)"
    assert jobs_table([a_job(solve, reason=None)], 0.0).endswith(f"Z  {words}")
    several = a_job(a_task("first", TaskState.COMPLETED, 0), solve, reason=None)
    assert jobs_table([several], 0.0).endswith(f"Z  solve: {words}")
