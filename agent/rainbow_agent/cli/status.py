"""`rainbow-agent status`."""

from __future__ import annotations

import os
import sys
from typing import Final

import click

from rainbow_agent.cli.common import echo_json, output_option, reports_errors, settings_options
from rainbow_agent.cli.state_folder import expect_folder
from rainbow_agent.monitoring.status_sources import look
from rainbow_agent.monitoring.status_text import status_text
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings

_STATE_COLOURS: Final = {
    "working": "green",
    "idle": "green",
    "draining": "yellow",
    "degraded": "red",
    "stopped": "red",
}


@click.command(name="status")
@click.option(
    "--watch", is_flag=True, help="Keep the display up to date, with the running jobs; ^C ends it."
)
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: the time between updates.",
)
@settings_options("host", "cluster", "state_dir", "config")
@output_option
@reports_errors
def command(watch: bool, every: float, settings: Settings, output: str) -> None:
    """Show the agent's status, also while it is down.

    The first word is working, idle, draining, degraded or stopped. Then comes what is wrong,
    and since when. Exits with status 0 if the daemon is running, and with 1 if not.

    Example: rainbow-agent status -o json
    """
    expect_folder(settings)
    colour = wants_colour()
    if watch:
        from rainbow_agent.cli.status_watch import watch as keep_watching  # noqa: PLC0415 - rich

        keep_watching(settings, every, output, paint if colour else str)
        return
    now = SystemClock().now()
    view = look(settings, now)
    if output == "json":
        echo_json(view)
    else:
        click.echo(status_text(view, now, paint=paint if colour else str), color=colour)
    if not view["daemon"]["running"]:
        raise SystemExit(1)


def wants_colour() -> bool:
    """Whether colour is welcome: on a terminal, unless NO_COLOR (no-color.org) is set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout is not None and sys.stdout.isatty()


def paint(state: str) -> str:
    """A state in its colour, bold."""
    return click.style(state, fg=_STATE_COLOURS.get(state), bold=True)
