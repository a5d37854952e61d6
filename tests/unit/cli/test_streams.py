"""Verbs say what they have to say wherever their output goes, and names steer nothing."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import rainbow_agent.cli
import rainbow_compspec.cli
from rainbow_agent.cli.common import say
from rainbow_agent.cli.run_show import Lines
from rainbow_agent.core.model import JobKey, JobRow, TaskChange, TaskKey
from rainbow_agent.core.states import JobState, TaskState

#: Names as attackers and other alphabets write them.
NAME = "\x1b]0;pwned\x07\x9b31m\u202e\u2066evil\r\nFAKE line"


def cli(*words: str, closed: str = "", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run a verb with streams closed by the shell (`>&-`)."""
    command = [sys.executable, "-m", "rainbow_agent.cli", *words]
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *command],
        env={"PATH": os.environ["PATH"], "HOME": "/", **environ},
        capture_output=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_verb_without_output_still_says_by_its_exit_code(closed: str, tmp_path: Path) -> None:
    """As wrappers, hooks and cron run it."""
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text(
        "version: 1\nresources: {r: {type: core, count: 1}}\n"
        "tasks: [{command: ['true'], resources: r}]\n"
    )
    bad.write_text("version: 1\n")
    assert cli("validate", str(good), closed=closed).returncode == 0
    done = cli("validate", str(bad), closed=closed)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr


def test_what_is_opened_next_never_gets_the_number_of_a_stream() -> None:
    """Otherwise a child's output would end up in the ledger."""
    program = (
        "import os; from rainbow_agent.runtime.standard_streams import repair; repair(); "
        "os._exit(os.open('/dev/null', os.O_RDONLY) < 3 or os.fstat(1).st_rdev == 0)"
    )
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program], check=False
    )
    assert done.returncode == 0


def test_a_locale_without_a_character_gets_another(tmp_path: Path) -> None:
    """ISO-8859-1 has no arrow; the verb works all the same."""
    jobspec = tmp_path / "j.yaml"
    jobspec.write_text(
        "version: 1\nresources: {r: {type: core, count: 1}}\n"
        "tasks: [{name: 'größe → 1', command: [echo], resources: r}]\n",
        encoding="utf-8",
    )
    environ = {"PYTHONIOENCODING": "latin-1", "RAINBOW_STATE_DIR": str(tmp_path)}
    done = cli("run", "--dry-run", str(jobspec), **environ)
    assert done.returncode == 0, done
    assert "größe ? 1".encode("latin-1") in done.stdout


def _is_raw(node: ast.AST) -> bool:
    """Whether it prints a text that is put together of values as it is."""
    if not isinstance(node, ast.Call) or ast.unparse(node.func) != "click.echo" or not node.args:
        return False
    text = ast.unparse(node.args[0])
    cleaned = "clean(" in text or "strerror" in text
    return isinstance(node.args[0], ast.JoinedStr) and not cleaned


def test_no_verb_prints_a_name_raw() -> None:
    """What is put together of values goes through `say`, a table or a text that is cleaned."""
    files = [
        path
        for folder in (rainbow_agent.cli, rainbow_compspec.cli)
        for path in Path(str(folder.__file__)).parent.rglob("*.py")
    ]
    assert [
        f"{path.name}:{getattr(node, 'lineno', 0)}"
        for path in files
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _is_raw(node)
    ] == []


def test_a_line_stays_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Terminal escapes, bidi marks and newlines in names are shown, not sent."""
    say(f"Submitted {NAME} to cluster blue")
    shown = capsys.readouterr().out
    assert shown.rstrip("\n").isprintable()
    assert shown.startswith("Submitted \\x1b]0;pwned\\x07\\x9b31m\\u202e\\u2066evil\\r\\nFAKE")


def test_the_times_of_run_are_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    """Two clocks may differ by milliseconds; the lines do not."""
    lines, key = Lines(), TaskKey(JobKey("run", 1), "t", 0)
    job = JobRow(JobKey("run", 1), "j", JobState.RUNNING, None, 0.0, None, None)
    for at, state in ((10.697, TaskState.SUBMITTED), (10.689, TaskState.RUNNING)):
        lines.show(TaskChange(key, state, at, "seen"), lambda: job)
    times = [line.split()[0] for line in capsys.readouterr().err.splitlines()]
    assert times == sorted(times)
    assert len(times) == 2
