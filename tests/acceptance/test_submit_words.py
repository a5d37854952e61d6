"""What `submit` takes for a jobspec and what for a command: never one for the other."""

from __future__ import annotations

import secrets
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from rainbow_agent.cli import main

NO_FOLDER = str(Path(tempfile.gettempdir()) / f"never-made-{secrets.token_hex(8)}")


def submit(*words: str) -> tuple[int, str]:
    """Exit code and all that is said; nothing of it gets as far as a server."""
    environ = {"RAINBOW_HOST": "127.0.0.1:1", "RAINBOW_STATE_DIR": NO_FOLDER}
    answer = CliRunner(env=environ).invoke(main, ["submit", *words])
    return answer.exit_code, answer.output


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("nope.yaml", "cannot read jobspec nope.yaml"),
        ("nope", "there is no jobspec file nope. To submit a command, write it after `--`"),
        (".", "cannot read jobspec ."),
    ],
)
def test_one_word_is_a_jobspec_file(name: str, problem: str) -> None:
    """A typo, or a folder, is not sent to a cluster as a program."""
    code, said = submit(name)
    assert code == 2
    assert problem in said


@pytest.mark.parametrize("words", [("--nodes", "2", "job.yaml"), ("job.yaml", "more")])
def test_a_command_needs_the_dashes(words: tuple[str, ...]) -> None:
    """Resources or more words without `--`: say how a command is written."""
    code, said = submit(*words)
    assert code == 2
    assert "write it after `--`" in said


def test_a_wrong_jobspec_is_wrong_usage(tmp_path: Path) -> None:
    """It is not sent; the message names the file and the place."""
    file = tmp_path / "job.yaml"
    file.write_text("version: 1\ntasks:\n- comand: [true]\n")
    code, said = submit(str(file))
    assert code == 2
    assert "job.yaml" in said
    assert "comand" in said


def test_requirements_can_be_asked_about(tmp_path: Path) -> None:
    """With --satisfy-only and without: rainbow is asked, which is not there."""
    file = tmp_path / "job.yaml"
    file.write_text(
        "version: 1\n"
        "resources:\n"
        "  r: {type: node, count: 1, requires: [{name: spack, field: ior, match: '4.0.0'}]}\n"
        "tasks:\n- {name: t, command: [ior], resources: r}\n"
    )
    for words in (["--satisfy-only", str(file)], [str(file)]):
        code, said = submit(*words)
        assert code == 1
        assert "127.0.0.1:1" in said
