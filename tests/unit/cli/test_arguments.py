"""What is typed wrong: said in the style of all errors, with what was most likely meant."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rainbow_agent.cli import main
from rainbow_agent.cli.jobs import MAX_NAME_WIDTH, MAX_REASON_WIDTH, jobs_table
from rainbow_agent.core.model import JobKey, JobRow
from rainbow_agent.core.states import JobState

LONG = JobRow(JobKey("r1", 1), "n" * 99, JobState.FAILED, "r" * 999, 0.0, None, None, ())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strat"], "error: there is no command 'strat'; did you mean start?"),
        (["nothing-like-it"], "error: there is no command 'nothing-like-it'\n"),
        (["jobs", "--limit", "x"], "error: Invalid value for '--limit'"),
        (["jobs", "--state", "failed", "3"], "error: one JOB is shown whatever its state"),
        (["submit", "hostname"], "error: there is no jobspec file hostname. To submit a command,"),
        (["submit", "absent.yaml"], "error: cannot read jobspec absent.yaml"),
    ],
)
def test_what_is_mistyped(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status 2, the sentence on standard error, in one style."""
    monkeypatch.chdir(tmp_path)
    environ = {"RAINBOW_STATE_DIR": str(tmp_path), "RAINBOW_CLUSTER": "blue"}
    found = CliRunner().invoke(main, words, env=environ, prog_name="rainbow-agent")
    assert (found.exit_code, found.stdout) == (2, "")
    assert said in found.stderr
    assert "Error:" not in found.stderr


def test_what_is_cut_on_a_terminal_shows_it_and_a_pipe_gets_all() -> None:
    """A name or reason that is cut ends in an ellipsis; nothing else is lost."""
    whole = jobs_table([LONG], whole=True)
    assert LONG.name in whole
    assert "r" * 999 in whole
    cut = jobs_table([LONG], whole=False).splitlines()[1]
    assert "n" * (MAX_NAME_WIDTH - 3) in cut
    assert cut.endswith(("r…", "r..."))
    assert "r" * MAX_REASON_WIDTH not in cut
