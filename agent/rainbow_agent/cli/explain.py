"""`rainbow-agent explain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from rainbow_agent.cli import completing
from rainbow_agent.cli.common import echo_json, output_option, reports_errors, settings_options
from rainbow_agent.cli.ledger import reading, warn_if_down
from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.handles import is_handle
from rainbow_agent.monitoring.explain import explain_text, explain_view, history_of
from rainbow_agent.monitoring.find_job import find_job
from rainbow_agent.monitoring.records import add_events
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import stop_on_signals


@click.command(name="explain")
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=completing.jobs)
@settings_options("cluster", "state_dir", "workload", "host", "config", "sent_dir")
@output_option
@reports_errors
def command(jobs: tuple[str, ...], settings: Settings, output: str) -> None:
    """Tell each JOB's whole story: why it is in its state, and what to do next.

    One timeline of what rainbow sent, what the agent did with it, what the workload manager says
    about each task, and what was reported to rainbow. As JSON: an object; for several JOBs, a list.

    Example: rainbow-agent explain 7
    """
    if any(is_handle(job) for job in jobs):
        if not all(is_handle(job) for job in jobs):
            raise UsageError("jobs of this cluster and handles do not go together")
        views = [_asked(job, settings) for job in dict.fromkeys(jobs)]
    else:
        views = _views(jobs, settings)
    if output == "json":
        echo_json(views[0] if len(views) == 1 else views)
    else:
        click.echo("\n\n".join(explain_text(view) for view in views))


def _asked(handle: str, settings: Settings) -> dict[str, Any]:
    """What the cluster that has the job says of it."""
    from rainbow_agent.cli.asked_records import asked_records  # noqa: PLC0415 - only for this

    with stop_on_signals() as stop, asked_records(handle, settings, stop) as records:
        return records.explain()


def _views(jobs: Sequence[str], settings: Settings) -> list[dict[str, Any]]:
    with reading(settings) as ledger:
        warn_if_down(settings)
        keys = dict.fromkeys(find_job(ledger, job, settings) for job in jobs)
        assert ledger is not None  # noqa: S101 - find_job() has found a job in it
        found = [history for key in keys if (history := history_of(ledger, key)) is not None]
    now = SystemClock().now()
    return [explain_view(add_events(history, settings), now) for history in found]
