"""The command line: one file a verb, each imported when it is used."""

from __future__ import annotations

import errno
import io
import os
import sys
from importlib import import_module
from typing import Any

import click

from rainbow_compspec.errors import CompspecError
from rainbow_compspec.text import printable

VERBS = {
    "extract": "Describe this node as node JSON.",
    "create": "Make graphs from a folder of node JSON: nodes, subsystem.",
    "show": "Print a cluster as a tree for people.",
}
"""Verb -> what `--help` says of it; its command is `rainbow_compspec.cli.<verb>:<verb>`."""

_LOST = frozenset({errno.ENOSPC, errno.EIO, errno.EDQUOT})
"""Output that the disk does not take; click itself ends quietly at a closed pipe."""


class LazyGroup(click.Group):
    """A group that knows its verbs by name, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the verbs in the order in which they are used."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports a verb; None if there is no such verb."""
        del ctx
        if cmd_name not in VERBS:
            return None
        command: click.Command = getattr(
            import_module(f"rainbow_compspec.cli.{cmd_name}"), cmd_name
        )
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Lists the verbs without importing them, so that `--help` answers at once."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(VERBS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the verb; an error that we know how to describe ends in its message and code 1."""
        try:
            return super().invoke(ctx)
        except CompspecError as exc:
            raise click.ClickException(printable(str(exc))) from exc

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Runs a verb; output that cannot be written ends in one sentence and code 1."""
        _use_any_streams()
        try:
            try:
                return super().main(*args, **kwargs)
            finally:
                sys.stdout.flush()
        except OSError as exc:
            if exc.errno not in _LOST or exc.filename:
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, sys.stdout.fileno())  # nor is what Python still holds back
            click.echo(f"Error: cannot write: {exc.strerror}", err=True)
            sys.exit(1)


def _use_any_streams() -> None:
    """Writes to /dev/null where a stream is closed, and escapes what the locale does not have."""
    for fd, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            os.dup2(os.open(os.devnull, os.O_RDWR), fd)
            setattr(sys, name, open(fd, "w" if fd else "r", encoding="utf-8", closefd=False))  # noqa: SIM115 - by its number, for good
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="rainbow-agent", message="%(prog)s %(version)s")
def main() -> None:
    """Describe hardware as node JSON, and make graphs that a rainbow scheduler can match."""
