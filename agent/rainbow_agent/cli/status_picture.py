"""What `status --watch` shows: the status, and below it the open jobs with their progress."""

from __future__ import annotations

from typing import Any, Final

from rainbow_agent.cli.ledger import reading
from rainbow_agent.cli.terminal import columns, paint
from rainbow_agent.cli.watching import Picture
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.monitoring.status_sources import look
from rainbow_agent.monitoring.status_text import WIDTH, progress_lines, status_text
from rainbow_agent.monitoring.views import job_view
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings

#: Jobs that have a line each.
MAX_JOBS_SHOWN: Final = 15
#: Columns that are used; longer lines are harder to read.
MAX_WIDTH: Final = 120
#: What of a status counts as a change.
_GIST: Final = ("state", "jobs", "resources", "draining", "errors")


def picture(settings: Settings) -> Picture:
    """The status now, and the jobs that are not over."""
    now = SystemClock().now()
    view, jobs = look(settings, now), _open_jobs(settings)
    reasons = [reason["name"] for reason in view["reasons"]]
    gist = [{key: view[key] for key in _GIST}, reasons, jobs]
    return Picture(lambda: _text(view, jobs, now), gist, {"status": view, "running": jobs})


def _text(view: dict[str, Any], jobs: list[dict[str, Any]], now: float) -> str:
    width = min(columns() or WIDTH, MAX_WIDTH)
    text = status_text(view, now, width=width, paint=paint)
    return "\n".join([text, *([""] if jobs else []), *progress_lines(jobs, width)])


def _open_jobs(settings: Settings) -> list[dict[str, Any]]:
    """The jobs that are not over, those that run first, with their tasks."""
    try:
        with reading(settings) as ledger:
            if ledger is None:
                return []
            running = ledger.jobs(states=[JobState.RUNNING], limit=MAX_JOBS_SHOWN)
            others = [s for s in JobState if s not in FINAL_JOB_STATES | {JobState.RUNNING}]
            waiting = ledger.jobs(states=others, limit=MAX_JOBS_SHOWN - len(running))
    except RainbowAgentError:
        return []  # `status` itself says what is wrong with the ledger
    return [dict(job_view(row)) for row in running + waiting]
