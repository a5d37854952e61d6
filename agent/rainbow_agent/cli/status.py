"""`rainbow-agent status`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

import click

from rainbow_agent.adapters import statedir
from rainbow_agent.adapters.clock import SystemClock
from rainbow_agent.cli.common import echo_json, output_option, reports_errors, settings_options
from rainbow_agent.cli.ledger import reading
from rainbow_agent.errors import RainbowAgentError
from rainbow_agent.model import JobRow, Registration
from rainbow_agent.settings import Settings
from rainbow_agent.states import JobState
from rainbow_agent.status import status_view
from rainbow_agent.status_text import status_text
from rainbow_agent.status_word import Sources

#: Jobs that ended badly, in text and JSON.
ERRORS = 3
_COLOURS = {
    "working": "green",
    "idle": "green",
    "draining": "yellow",
    "degraded": "red",
    "stopped": "red",
}


@click.command(name="status")
@click.option("--watch", is_flag=True, help="Keep it live, with the jobs that run; ends with ^C.")
@click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: between two looks.",
)
@settings_options("host", "cluster", "state_dir", "config")
@output_option
@reports_errors
def command(watch: bool, every: float, settings: Settings, output: str) -> None:
    """Show how this cluster's agent does, also while it is down.

    The first word is working, idle, draining, degraded or stopped; what is wrong follows, with
    since when. Ends with 0 when the daemon runs, with 1 when it does not.

    Example: rainbow-agent status -o json
    """
    if watch:
        from rainbow_agent.cli.watching import watch as keep_watching  # noqa: PLC0415 - rich

        keep_watching(settings, every, output)
        return
    now = SystemClock().now()
    view = look(settings, now)
    if output == "json":
        echo_json(view)
    else:
        colour = wants_colour()
        click.echo(status_text(view, now, paint=paint if colour else str), color=colour)
    if not view["daemon"]["running"]:
        raise SystemExit(1)


def look(settings: Settings, now: float) -> dict[str, Any]:
    """The `status` object, from the state folder alone.

    Args:
        settings: where it is.
        now: epoch seconds.
    """
    holder = statedir.running(settings.state_dir)
    last = holder or statedir.read_holder(settings.state_dir)
    jobs = _jobs(settings)
    found = Sources(
        pid=holder.pid if holder else None,
        since=last.since if last else None,
        runtime=statedir.read_runtime(settings.state_dir),
        drain=statedir.read_drain(settings.state_dir),
        halted=statedir.halted(holder.pid) if holder else False,
        **jobs,
    )
    return status_view(settings, found, now)


def _jobs(settings: Settings) -> dict[str, Any]:
    """What the ledger says; a ledger that cannot be read is a fact, not the end of `status`."""
    counts: Mapping[JobState, int] = dict.fromkeys(JobState, 0)
    current: Registration | None = None
    errors: list[JobRow] = []
    try:
        with reading(settings) as ledger:
            if ledger is not None:
                counts, current = ledger.counts(), ledger.current_registration()
                errors = ledger.ended_badly(ERRORS)
    except RainbowAgentError as exc:
        return {"counts": None, "registration": None, "ledger_problem": str(exc)}
    return {
        "counts": counts,
        "registration": current.id if current else None,
        "errors": errors,
    }


def wants_colour() -> bool:
    """Whether colour is welcome: on a terminal, unless NO_COLOR (no-color.org) is set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stdout.isatty()


def paint(word: str) -> str:
    """The word in its colour, bold."""
    return click.style(word, fg=_COLOURS.get(word), bold=True)
