"""`rainbow-agent status`."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from rainbow_agent.cli.common import echo_json, output_option, reports_errors, settings_options
from rainbow_agent.cli.ledger import reading
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import JobRow, Registration
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.monitoring.status import Sources, status_view
from rainbow_agent.monitoring.status_text import progress_lines, status_text
from rainbow_agent.monitoring.views import job_view
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import stop_on_signals
from rainbow_agent.storage import state_dir

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
        from rainbow_agent.cli.status import watch as keep_watching  # noqa: PLC0415 - rich

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
    holder = state_dir.running(settings.state_dir)
    last = holder or state_dir.read_holder(settings.state_dir)
    jobs = _jobs(settings)
    found = Sources(
        pid=holder.pid if holder else None,
        since=last.since if last else None,
        runtime=state_dir.read_runtime(settings.state_dir),
        drain=state_dir.read_drain(settings.state_dir),
        halted=state_dir.halted(holder.pid) if holder else False,
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


#: Jobs with a line of their own.
SHOWN = 15
#: Columns that are used at most: longer lines are harder to read.
WIDEST = 120


def watch(settings: Settings, every: float, output: str) -> None:
    """Look again and again until a signal ends it.

    On a terminal the picture is replaced; elsewhere it is written again when it has changed, or,
    as JSON, one line a look with `status` and `running`.
    """
    with stop_on_signals() as stop:
        if output == "text" and Console().is_terminal:
            with Live(auto_refresh=False) as live:
                while not stop.is_set():
                    live.update(Text.from_ansi(_text(*_look(settings))), refresh=True)
                    stop.wait(every)
            return
        before = ""
        while not stop.is_set():
            view, jobs, now = _look(settings)
            if output == "json":
                click.echo(json.dumps({"status": view, "running": jobs}))
            elif (gist := _gist(view, jobs)) != before:
                click.echo(("\n" if before else "") + _text(view, jobs, now))
                before = gist
            stop.wait(every)


def _look(settings: Settings) -> tuple[dict[str, Any], list[dict[str, Any]], float]:
    now = SystemClock().now()
    return look(settings, now), _open(settings), now


def _text(view: dict[str, Any], jobs: list[dict[str, Any]], now: float) -> str:
    width = min(shutil.get_terminal_size().columns, WIDEST)
    text = status_text(view, now, width=width, paint=paint if wants_colour() else str)
    return "\n".join([text, *([""] if jobs else []), *progress_lines(jobs, width)])


def _gist(view: dict[str, Any], jobs: list[dict[str, Any]]) -> str:
    """What of a picture counts as a change: not that time goes on."""
    kept = {key: view[key] for key in ("state", "jobs", "resources", "draining", "errors")}
    reasons = [reason["name"] for reason in view["reasons"]]
    return json.dumps([kept, reasons, jobs])


def _open(settings: Settings) -> list[dict[str, Any]]:
    """The jobs that are not over, those that run first, with their tasks."""
    try:
        with reading(settings) as ledger:
            if ledger is None:
                return []
            running = ledger.jobs(states=[JobState.RUNNING], limit=SHOWN)
            others = [s for s in JobState if s not in FINAL_JOB_STATES | {JobState.RUNNING}]
            waiting = ledger.jobs(states=others, limit=SHOWN - len(running))
    except RainbowAgentError:
        return []  # `status` itself says what is wrong with the ledger
    return [job_view(row) for row in running + waiting]
