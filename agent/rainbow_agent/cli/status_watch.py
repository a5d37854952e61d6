"""`rainbow-agent status --watch`: the picture again and again, until a signal ends it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from typing import Any, Final

import click
from rich.console import Console
from rich.live import Live
from rich.text import Text

from rainbow_agent.cli.ledger import reading
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.monitoring.status_sources import look
from rainbow_agent.monitoring.status_text import progress_lines, status_text
from rainbow_agent.monitoring.views import job_view
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import stop_on_signals

#: Jobs that have a line each.
MAX_JOBS: Final = 15
#: Columns that are used; longer lines are harder to read.
MAX_WIDTH: Final = 120


def watch(settings: Settings, interval: float, output: str, paint: Callable[[str], str]) -> None:
    """Look every `interval` seconds.

    On a terminal the picture is replaced. Elsewhere it is written again when it has changed, or,
    as JSON, each time: one line with `status` and `running`.

    Args:
        settings: where the state folder is.
        interval: seconds between two looks.
        output: text or json.
        paint: puts colour on the state.
    """
    with stop_on_signals() as stop:
        if output == "text" and Console().is_terminal:
            with Live(auto_refresh=False) as live:
                while not stop.is_set():
                    text = Text.from_ansi(_text(*_look(settings), paint))
                    live.update(text, refresh=True)
                    stop.wait(interval)
            return
        before = ""
        while not stop.is_set():
            view, jobs, now = _look(settings)
            if output == "json":
                click.echo(json.dumps({"status": view, "running": jobs}))
            elif (gist := _gist(view, jobs)) != before:
                click.echo(("\n" if before else "") + _text(view, jobs, now, paint))
                before = gist
            stop.wait(interval)


def _look(settings: Settings) -> tuple[dict[str, Any], list[dict[str, Any]], float]:
    now = SystemClock().now()
    return look(settings, now), _open_jobs(settings), now


def _text(
    view: dict[str, Any], jobs: list[dict[str, Any]], now: float, paint: Callable[[str], str]
) -> str:
    width = min(shutil.get_terminal_size().columns, MAX_WIDTH)
    text = status_text(view, now, width=width, paint=paint)
    return "\n".join([text, *([""] if jobs else []), *progress_lines(jobs, width)])


def _gist(view: dict[str, Any], jobs: list[dict[str, Any]]) -> str:
    """What of a picture counts as a change; that time passes does not."""
    kept = {key: view[key] for key in ("state", "jobs", "resources", "draining", "errors")}
    reasons = [reason["name"] for reason in view["reasons"]]
    return json.dumps([kept, reasons, jobs])


def _open_jobs(settings: Settings) -> list[dict[str, Any]]:
    """The jobs that are not over, those that run first, with their tasks."""
    try:
        with reading(settings) as ledger:
            if ledger is None:
                return []
            running = ledger.jobs(states=[JobState.RUNNING], limit=MAX_JOBS)
            others = [s for s in JobState if s not in FINAL_JOB_STATES | {JobState.RUNNING}]
            waiting = ledger.jobs(states=others, limit=MAX_JOBS - len(running))
    except RainbowAgentError:
        return []  # `status` itself says what is wrong with the ledger
    return [job_view(row) for row in running + waiting]
