"""`rainbow-agent version`."""

from __future__ import annotations

import platform

import click

from rainbow_agent import __version__
from rainbow_agent.cli.common import echo_json, output_option, say


@click.command(name="version")
@output_option
def command(output: str) -> None:
    """Show the version of the agent and of Python.

    Example: rainbow-agent version
    """
    view = {"rainbow_agent": __version__, "python": platform.python_version()}
    if output == "json":
        echo_json(view)
    else:
        say(f"rainbow-agent {view['rainbow_agent']} (Python {view['python']})")
