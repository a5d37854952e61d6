"""The command line itself: help, examples, and what a quick verb may not load."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from rainbow_agent.cli import SHORT_HELP, VERBS, first_sentence, main
from support.program import PROGRAM, Program

#: They take longer to load than `status` and `--help` may take in all.
HEAVY = ("grpc", "google.protobuf", "flux", "_flux", "yaml", "archspec", "watchdog", "stamina")


def example_of(verb: str) -> list[str]:
    """The words of the example in a verb's help."""
    with click.Context(main, **main.context_settings) as ctx:
        command = main.get_command(ctx, verb)
        assert command is not None
        text = " ".join(str(command.help).split())
    found = re.search(r"Example: (.*)$", text)
    assert found, f"`rainbow-agent {verb} --help` shows no example"
    return shlex.split(found[1])


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_shows_an_example_that_parses(verb: str) -> None:
    """The example in a verb's help is a command line of that verb that is understood."""
    words = example_of(verb)
    words = words[words.index("rainbow-agent") + 1 :]
    assert words[0] == verb
    with click.Context(main, **main.context_settings) as ctx:
        command = main.get_command(ctx, verb)
        assert command is not None
        command.make_context(verb, words[1:], parent=ctx).close()


@pytest.mark.parametrize("verb", VERBS)
def test_the_list_of_verbs_says_what_their_own_help_says(verb: str) -> None:
    """`--help` knows each verb's first sentence without importing the verb."""
    with click.Context(main, **main.context_settings) as ctx:
        command = main.get_command(ctx, verb)
    assert command is not None
    assert SHORT_HELP[verb] == first_sentence(command)


@pytest.mark.parametrize("arguments", [["--help"], ["start", "--help"], ["status"], ["jobs"]])
def test_quick_verbs_load_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    """Help, `status` and `jobs` answer without gRPC, Flux, YAML or archspec."""
    script = (
        "import sys\n"
        "from rainbow_agent.cli import main\n"
        f"try:\n    main({arguments!r}, prog_name='rainbow-agent')\n"
        "except SystemExit:\n    pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    program = Program(tmp_path)
    program.state_dir.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=program.environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "loaded: []", done


def test_the_program_answers(tmp_path: Path) -> None:
    """The installed script lists its verbs, and ends with 2 at a verb that is none."""
    program = Program(tmp_path)
    listed = program.run("--help")
    assert listed.code == 0
    assert all(re.search(rf"^  {verb} ", listed.out, re.MULTILINE) for verb in VERBS)
    wrong = program.run("stat")
    assert wrong.code == 2
    assert "stat" in wrong.err


def test_jobs_before_any_agent_ran(tmp_path: Path) -> None:
    """`jobs` makes neither state folder nor ledger; in an empty one there are no jobs."""
    program = Program(tmp_path)
    assert program.run("jobs").code == 2
    assert not program.state_dir.exists()
    program.state_dir.mkdir()
    assert program.show("jobs") == []
    assert program.run("jobs", "7").code == 1
    assert program.run("jobs", "seven").code == 1  # a name that no job has
    assert list(program.state_dir.iterdir()) == []


def test_what_cannot_be_used_ends_with_2(tmp_path: Path) -> None:
    """A setting that cannot be used is named with its source, a secret's value never shown."""
    program = Program(tmp_path)
    host = program.run("status", host="nowhere")
    assert (host.code, host.out) == (2, "")
    assert "environment RAINBOW_HOST" in host.err
    assert program.run("start", cluster="No Name").code == 2
    secret = program.run("start", secret_file=tmp_path / "absent")
    assert secret.code == 2
    assert "RAINBOW_SECRET_FILE" in secret.err


def test_an_unknown_name_is_told_with_the_nearest(tmp_path: Path) -> None:
    """A RAINBOW_* variable that is no setting is reported, with the one that was meant."""
    answer = Program(tmp_path, hots="rainbow:8080").run("status")
    assert "RAINBOW_HOTS is not a setting" in answer.err
    assert "RAINBOW_HOST?" in answer.err


def test_a_crash_point_alone_is_an_unknown_name(tmp_path: Path) -> None:
    """The name that tests crash the agent with means nothing without the one that allows it."""
    answer = Program(tmp_path, test_crash="received").run("status")
    assert "RAINBOW_TEST_CRASH is not a setting" in answer.err
    both = Program(tmp_path, test_crash="received", test_crash_allowed=1).run("status")
    assert "not a setting" not in both.err


@pytest.mark.parametrize("words", [["--help"], ["status"], ["jobs", "-o", "json"], ["version"]])
def test_output_that_cannot_be_written(words: list[str], tmp_path: Path) -> None:
    """On a full disk a verb ends with 1 and one sentence; with a closed pipe it ends quietly."""
    program = Program(tmp_path)
    program.state_dir.mkdir()
    command = [str(PROGRAM), *words]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            command, env=program.environ, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 1
    assert done.stderr.decode().splitlines()[-1] == "error: cannot write: No space left on device"
    assert b"Traceback" not in done.stderr
    reader, writer = os.pipe()
    os.close(reader)
    closed = subprocess.run(
        command, env=program.environ, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert closed.returncode == 1
    assert b"Traceback" not in closed.stderr
    assert b"Exception" not in closed.stderr
    both = subprocess.run(
        ["sh", "-c", 'exec "$@" >/dev/full 2>&1', "sh", *command], env=program.environ, check=False
    )
    assert both.returncode == 1
