"""`rainbow-agent explain`."""

from __future__ import annotations

import click

from rainbow_agent.cli import completing
from rainbow_agent.cli.common import echo_json, output_option, reports_errors, settings_options
from rainbow_agent.cli.ledger import find_job, reading, warn_if_down
from rainbow_agent.cli.records import add_events
from rainbow_agent.monitoring.explain import explain_text, explain_view, history_of
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings


@click.command(name="explain")
@click.argument("jobs", nargs=-1, required=True, metavar="JOB...", shell_complete=completing.jobs)
@settings_options("cluster", "state_dir", "workload")
@output_option
@reports_errors
def command(jobs: tuple[str, ...], settings: Settings, output: str) -> None:
    """Tell each JOB's whole story: why it is in its state, and what to do next.

    One timeline of what rainbow sent, what the agent did with it, what the workload manager says
    about each task, and what was reported to rainbow. As JSON: an object; for several JOBs, a list.

    Example: rainbow-agent explain 7
    """
    with reading(settings) as ledger:
        warn_if_down(settings)
        keys = dict.fromkeys(find_job(ledger, job, settings) for job in jobs)
        assert ledger is not None  # noqa: S101 - find_job() has found a job in it
        found = [history for key in keys if (history := history_of(ledger, key)) is not None]
    now = SystemClock().now()
    views = [explain_view(add_events(history, settings), now) for history in found]
    if output == "json":
        echo_json(views[0] if len(views) == 1 else views)
    else:
        click.echo("\n\n".join(explain_text(view) for view in views))
