"""Shell completion and the man page: both made from the command line itself."""

from __future__ import annotations

import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.cli import VERBS
from rainbow_agent.cli.manpage import page
from rainbow_agent.core.states import TaskState
from rainbow_agent.storage.ledger import SqliteLedger
from support.ledger import add_job, news
from support.program import PROGRAM, Program

MAN = Path(__file__).parents[2] / "docs" / "man" / "rainbow-agent.1"


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """With two jobs, one of which is over."""
    program = Program(tmp_path)
    with closing(SqliteLedger.open(program.state_dir / "ledger.sqlite")) as ledger:
        add_job(ledger, 41, "build", "ior")
        key = add_job(ledger, 42, "a")
        ledger.apply([news(key, "a", TaskState.COMPLETED)])
    return program


def completed(program: Program, *words: str) -> list[str]:
    """What bash would offer for the last of these words."""
    done = subprocess.run(
        [PROGRAM],
        env=program.environ
        | {
            "_RAINBOW_AGENT_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["rainbow-agent", *words]),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_job_ids_and_task_names_are_completed(program: Program) -> None:
    """The newest first; to be canceled only those that are not over."""
    assert completed(program, "explain", "") == ["42", "41"]
    assert completed(program, "jobs", "41") == ["41"]
    assert completed(program, "cancel", "") == ["41"]
    assert completed(program, "logs", "41", "") == ["build", "ior"]
    assert completed(program, "logs", "41", "i") == ["ior"]


def test_verbs_and_options_are_completed(program: Program) -> None:
    """Those that begin so."""
    assert completed(program, "st") == ["start", "status"]
    assert "--follow" in completed(program, "logs", "--f")


def test_without_a_ledger_nothing_is_completed_and_nothing_fails(tmp_path: Path) -> None:
    """Also with settings that cannot be used."""
    program = Program(tmp_path)
    assert completed(program, "explain", "") == []
    assert completed(Program(tmp_path, host="nowhere"), "explain", "") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_that_the_shell_understands(shell: str, tmp_path: Path) -> None:
    """Checked by the shell itself, where it is installed."""
    answer = Program(tmp_path).run("completion", shell)
    assert answer.code == 0
    assert "_RAINBOW_AGENT_COMPLETE" in answer.out
    found = shutil.which(shell)
    if found is not None:
        subprocess.run([found, "-n"], input=answer.out, text=True, check=True, timeout=60)


def test_the_man_page_is_the_command_lines_own() -> None:
    """docs/man/rainbow-agent.1: `python -m rainbow_agent.cli.manpage` writes it."""
    text = MAN.read_text(encoding="utf-8")
    assert text == page()
    for verb in VERBS:
        assert ".SS {}\n".format(verb.replace("-", "\\-")) in text


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_man_page_is_well_formed() -> None:
    """Groff has nothing to say about it."""
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", MAN],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
