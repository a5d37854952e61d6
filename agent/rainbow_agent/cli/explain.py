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
@click.argument("job", shell_complete=completing.jobs)
@settings_options("cluster", "state_dir", "workload")
@output_option
@reports_errors
def command(job: str, settings: Settings, output: str) -> None:
    """Tell a JOB's whole story: why it is in its state, and what to do next.

    One timeline of what rainbow sent, what the agent did with it, what the workload manager says
    about each task, and what was reported to rainbow.

    Example: rainbow-agent explain 7
    """
    with reading(settings) as ledger:
        warn_if_down(settings)
        key = find_job(ledger, job, settings)
        assert ledger is not None  # noqa: S101 - find_job() has found a job in it
        history = history_of(ledger, key)
    assert history is not None  # noqa: S101 - likewise
    view = explain_view(add_events(history, settings), SystemClock().now())
    if output == "json":
        echo_json(view)
    else:
        click.echo(explain_text(view))
