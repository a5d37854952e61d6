"""`rainbow-agent resume`."""

from __future__ import annotations

import click

from rainbow_agent.cli.common import reports_errors, say, settings_options
from rainbow_agent.cli.state_folder import cluster_of, expect_daemon, expect_own, offline_option
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import agent_lock, drain_file


@click.command(name="resume")
@offline_option("Resume although no daemon is running, before its next start.")
@settings_options("cluster", "state_dir")
@reports_errors
def command(*, offline: bool, settings: Settings) -> None:
    """Take new jobs again after `rainbow-agent drain`.

    Example: rainbow-agent resume
    """
    expect_own(settings)
    if not offline:
        expect_daemon(settings)
    if drain_file.clear_drain(settings.state_dir):
        if agent_lock.running(settings.state_dir) is None:
            say(f"From its next start on, the daemon of {settings.state_dir} takes new jobs again.")
        else:
            say(f"Cluster {cluster_of(settings)} takes new jobs again.")
    else:
        say(f"Nothing to do: {settings.state_dir} was not drained.")
