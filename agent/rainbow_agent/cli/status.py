"""`rainbow-agent status`."""

from __future__ import annotations

import click

from rainbow_agent.adapters import statedir
from rainbow_agent.adapters.clock import SystemClock
from rainbow_agent.cli.common import echo_json, output_option, reports_errors, settings_options
from rainbow_agent.cli.ledger import reading
from rainbow_agent.model import JobState
from rainbow_agent.settings import Settings
from rainbow_agent.status import Sources, status_text, status_view


@click.command(name="status")
@settings_options("host", "cluster", "state_dir", "config")
@output_option
@reports_errors
def command(settings: Settings, output: str) -> None:
    """Show how this cluster's agent does, also while it is down.

    Ends with 0 when the daemon runs, with 1 when it does not.

    Example: rainbow-agent status -o json
    """
    holder = statedir.running(settings.state_dir)
    last = holder or statedir.read_holder(settings.state_dir)
    counts, registration = dict.fromkeys(JobState, 0), None
    with reading(settings) as ledger:
        if ledger is not None:
            counts, current = ledger.counts(), ledger.current_registration()
            registration = current.id if current else None
    found = Sources(
        pid=holder.pid if holder else None,
        since=last.since if last else None,
        runtime=statedir.read_runtime(settings.state_dir),
        counts=counts,
        registration=registration,
    )
    view = status_view(settings, found, SystemClock().now())
    if output == "json":
        echo_json(view)
    else:
        click.echo(status_text(view))
    if holder is None:
        raise SystemExit(1)
