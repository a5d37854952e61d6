"""rainbow-agent(1), made from the command line itself: `python -m rainbow_agent.cli.manpage`.

One page for all verbs, in the macros of man(7). docs/man/rainbow-agent.1 is its output, and the
wheel puts it under share/man; a test compares.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from rainbow_agent import __version__
from rainbow_agent.cli import VERBS, main

_EXIT = (
    ("0", "success"),
    ("1", "failure; for status: no daemon is running, or with --check it is starting or degraded"),
    ("2", "the arguments, the configuration or a jobspec cannot be used"),
    ("42", "do not restart: a human has to act"),
)


def page() -> str:
    """The page's text."""
    lines = [
        f'.TH RAINBOW\\-AGENT 1 "" "rainbow\\-agent {_roff(__version__)}" "User Commands"',
        ".SH NAME",
        "rainbow\\-agent \\- make a Flux cluster a member of a rainbow fleet",
        ".SH SYNOPSIS",
        ".B rainbow\\-agent",
        "VERB [OPTIONS] [ARGUMENTS]",
        ".SH DESCRIPTION",
        *_paragraphs(main.help or ""),
        ".SH VERBS",
    ]
    with click.Context(main, info_name="rainbow-agent", **main.context_settings) as ctx:
        for verb in VERBS:
            command = main.get_command(ctx, verb)
            if command is not None:
                lines += _verb(ctx, verb, command)
    lines.append(".SH EXIT STATUS")
    for code, means in _EXIT:
        lines += [".TP", f".B {code}", _roff(means)]
    lines += [
        ".SH ENVIRONMENT",
        "RAINBOW_HOST, RAINBOW_CLUSTER, RAINBOW_SECRET and others:",
        ".B rainbow\\-agent config show",
        "lists all, with their values and where they come from.",
        ".SH SEE ALSO",
        ".BR flux (1)",
    ]
    return "\n".join(lines) + "\n"


def _verb(parent: click.Context, name: str, command: click.Command) -> Iterator[str]:
    """One verb, and those below it."""
    with click.Context(command, info_name=name, parent=parent) as ctx:
        usage = " ".join(command.collect_usage_pieces(ctx))
        title = ctx.command_path.removeprefix("rainbow-agent ")
        yield f".SS {_roff(title)}"
        yield f".B {_roff(ctx.command_path)}"
        yield _roff(usage)
        yield from _paragraphs(command.help or "")
        for parameter in command.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and parameter.name != "help":
                yield from (".TP", f".B {_roff(record[0])}", _roff(record[1]))
        if isinstance(command, click.Group):
            for inner in command.list_commands(ctx):
                below = command.get_command(ctx, inner)
                if below is not None:
                    yield from _verb(ctx, inner, below)


def _paragraphs(text: str) -> Iterator[str]:
    for paragraph in text.replace("\b", "").split("\n\n"):
        words = " ".join(paragraph.split())
        if words:
            yield from (".PP", _roff(words))


def _roff(text: str) -> str:
    """The text as roff prints it: its own backslashes and dashes, no request at its start."""
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


if __name__ == "__main__":
    sys.stdout.write(page())
