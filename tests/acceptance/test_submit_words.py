"""What `submit` takes for a jobspec and what for a command: never one for the other."""

from __future__ import annotations

import json
import secrets
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from rainbow_agent.cli import main
from rainbow_agent.cli import submit as submit_verb
from rainbow_agent.cli.command_options import command_jobspec, command_options, default_name
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.wire import to_wire
from support.fleet import jobspec, task

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


@pytest.mark.parametrize("verb", [("submit", "--satisfy-only"), ("run", "--dry-run")])
def test_what_may_surprise_in_a_jobspec_is_said(verb: tuple[str, ...], tmp_path: Path) -> None:
    """A word that most kernels do not take is no error here: the job runs elsewhere."""
    file = tmp_path / "long.yaml"
    file.write_text(json.dumps(jobspec(task(["echo", "x" * 200_000]))))
    answer = CliRunner().invoke(main, [*verb, str(file)], env={"RAINBOW_HOST": "127.0.0.1:1"})
    assert f"warning: {file}: tasks[0] (line 1, column" in answer.stderr
    assert "Argument list too long" in answer.stderr


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


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["-t", "soon"], "--time-limit soon: write minutes, or a number with ms, s, m, h or d"),
        (["--env", "=x"], "--env =x: write NAME=VALUE"),
        (["--env", "NO_SUCH_VARIABLE"], "this shell has no such variable"),
        (["-N", "2", "-n", "3"], "--tasks 3 cannot be spread evenly over --nodes 2"),
    ],
)
def test_options_that_cannot_be_used(words: list[str], problem: str) -> None:
    """Each is named, with what to write."""
    code, said = submit(*words, "--", "hostname")
    assert code == 2
    assert problem in said


def test_flags_of_flux_are_understood(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bare time is minutes, as for `flux submit`; a variable without a value is this shell's."""
    monkeypatch.setenv("SHELLS_OWN", "own")
    words = ["-N", "2", "-n", "4", "-c", "3", "-g", "1", "-t", "10", "--cwd", "/data", "-q", "gpu"]
    context = submit_verb.command.make_context(
        "submit", [*words, "--env", "A=b=c", "--env", "SHELLS_OWN", "--job-name", "x", "--", "ior"]
    )
    found: dict[str, object] = {}

    @command_options
    def keep(*, asked: dict[str, object], **_: object) -> None:
        found.update(asked)

    names = {key: value for key, value in context.params.items() if key != "name"}
    keep(**names)
    document = command_jobspec(("ior",), name=context.params["name"], asked=found)
    assert document["name"] == "x"
    assert document["attributes"] == {
        "cwd": "/data",
        "queue": "gpu",
        "duration": "10m",
        "environment": {"A": "b=c", "SHELLS_OWN": "own"},
    }
    (task,) = plan_text(to_wire(document)).tasks
    assert task.jobspec["attributes"]["system"]["duration"] == 600


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("a/sweep.yaml", "sweep"),
        ("my.job.v2.yml", "my.job.v2"),
        ("x.tar", "x.tar"),
        (".hidden", ".hidden"),
        ("-", ""),
    ],
)
def test_a_job_without_a_name_is_called_as_its_file(file: str, name: str) -> None:
    """So that ten files are not ten times `job`."""
    assert default_name(file) == name
