"""`status --watch`: live on a terminal, plain text or JSON lines elsewhere."""

from __future__ import annotations

import json
import shutil
from typing import Any

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from rainbow_agent.adapters.clock import SystemClock
from rainbow_agent.cli.ledger import reading
from rainbow_agent.cli.status import look, paint, wants_colour
from rainbow_agent.errors import RainbowAgentError
from rainbow_agent.settings import Settings
from rainbow_agent.states import FINAL_JOB_STATES, JobState
from rainbow_agent.status_text import progress_lines, status_text
from rainbow_agent.stop import stop_on_signals
from rainbow_agent.views import job_view

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
