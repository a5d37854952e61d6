"""The command line: one file a verb, each imported when it is used."""

from __future__ import annotations

import importlib
import os
import sys

from rainbow_agent.environment import demote_python_path

# Before anything of ours that others could shadow is imported: a Flux view puts another Python's
# site-packages on PYTHONPATH, before our own (docs/architecture.md).
demote_python_path(sys.path, os.environ.get("PYTHONPATH", ""), os.getcwd())  # noqa: PTH109 - text

import click  # noqa: E402

VERBS = (
    "start",
    "status",
    "jobs",
    "submit",
    "receive",
    "drain",
    "resume",
    "register",
    "deregister",
    "run",
    "scheduler",
    "demo",
    "version",
)


class LazyGroup(click.Group):
    """A group whose verbs are modules of this package, in the order of a first day's use."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's command: attribute `command` of its module."""
        if cmd_name not in VERBS:
            return super().get_command(ctx, cmd_name)
        module = importlib.import_module(f"rainbow_agent.cli.{cmd_name}")
        command = module.command
        assert isinstance(command, click.Command)  # noqa: S101 - for mypy; every verb has one
        return command


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Make a Flux cluster a working member of a rainbow fleet.

    Settings come from flags, RAINBOW_* variables, rainbow-config.yaml and defaults, in this order
    (docs/settings.md). Exit codes: 0 good, 1 failed, 2 usage or configuration, 42 do not restart.
    """
