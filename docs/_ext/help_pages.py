"""For Sphinx: the pages of a command line, made from the program's own help."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import click

#: Page to program and where its command is.
PROGRAMS = {
    "reference/cli": ("rainbow-agent", "rainbow_agent.cli"),
    "reference/compspec-cli": ("rainbow-compspec", "rainbow_compspec.cli"),
}
_WIDTH = 96


def help_of(name: str, command: click.Command, parent: click.Context | None) -> Iterator[str]:
    """A section for a command, and for each below it."""
    with click.Context(
        command, info_name=name, parent=parent, max_content_width=_WIDTH, terminal_width=_WIDTH
    ) as ctx:
        yield f"\n## {ctx.command_path}\n\n```text\n{command.get_help(ctx)}\n```\n"
        if isinstance(command, click.Group):
            for verb in command.list_commands(ctx):
                below = command.get_command(ctx, verb)
                if below is not None:
                    yield from help_of(verb, below, ctx)


def on_read(_app: Any, page: str, source: list[str]) -> None:
    """The page of a command line is read."""
    if page in PROGRAMS:
        program, module = PROGRAMS[page]
        source[0] += "".join(help_of(program, importlib.import_module(module).main, None))


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", on_read)
    return {"parallel_read_safe": True}
