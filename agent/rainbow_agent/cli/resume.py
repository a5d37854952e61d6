"""`rainbow-agent resume`."""

from __future__ import annotations

import click

from rainbow_agent.cli.common import reports_errors, settings_options
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import state_dir


@click.command(name="resume")
@settings_options("cluster", "state_dir")
@reports_errors
def command(settings: Settings) -> None:
    """Take new jobs again after `rainbow-agent drain`.

    Example: rainbow-agent resume
    """
    if state_dir.clear_drain(settings.state_dir):
        click.echo(f"Cluster {settings.cluster} takes new jobs again.")
    else:
        click.echo(f"Cluster {settings.cluster} was not drained.")
