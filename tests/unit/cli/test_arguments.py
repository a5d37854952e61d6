"""What is typed wrong: said in the style of all errors, with what was most likely meant."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rainbow_agent import __version__
from rainbow_agent.cli import VERBS, main
from rainbow_agent.cli.common import _FLAGS
from rainbow_agent.runtime.settings import env_name


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["strat"], "error: there is no command 'strat'; did you mean start?"),
        (
            ["nothing-like-it"],
            "error: there is no command 'nothing-like-it'. See `rainbow-agent --help`\n",
        ),
        (["jobs", "--limit", "x"], "error: invalid value for '-n' / '--limit': 'x' is not"),
        (["jobs", "--state", "failed", "3"], "error: a JOB is shown whatever its state"),
        (["jobs", "--stat", "failed"], "error: no such option"),
        (["explain"], "error: missing argument 'JOB...'. See `rainbow-agent explain --help`\n"),
        (["status", "--watch", "--check"], "error: --check looks once, --watch again and again"),
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
    assert len(found.stderr.splitlines()) == 1


def test_a_verb_with_no_argument_at_all_shows_help() -> None:
    """The program alone is no mistake that a sentence would help with."""
    found = CliRunner().invoke(main, [], prog_name="rainbow-agent")
    assert "Commands:" in found.output
    assert "error:" not in found.output


@pytest.mark.parametrize("words", [["--version"], ["-V"]])
def test_the_version_is_an_option_too(words: list[str]) -> None:
    """As of most programs."""
    found = CliRunner().invoke(main, words, prog_name="rainbow-agent")
    assert (found.exit_code, found.output) == (0, f"rainbow-agent {__version__}\n")


#: Options that are called as a setting and are another thing.
NOT_SETTINGS = {("scheduler", "host"), ("submit", "cluster")}


def commands(command: click.Command, ctx: click.Context) -> Iterator[click.Command]:
    """A verb, or those below it."""
    if not isinstance(command, click.Group):
        yield command
        return
    for name in command.list_commands(ctx):
        below = command.get_command(ctx, name)
        assert below is not None
        yield from commands(below, ctx)


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_what_holds_without_an_option(verb: str) -> None:
    """Each option that may be left out has its default there, and its variable if it has one."""
    with click.Context(main, **main.context_settings) as ctx:
        below = main.get_command(ctx, verb)
        assert below is not None
        for command in commands(below, ctx):
            for option in command.params:
                if not isinstance(option, click.Option) or option.is_flag or option.required:
                    continue
                _, text = option.get_help_record(click.Context(command, parent=ctx)) or ("", "")
                assert "default: " in text, option.opts
                if option.name in _FLAGS and (verb, option.name) not in NOT_SETTINGS:
                    assert f"[env: {env_name(option.name)}; " in text, option.opts
