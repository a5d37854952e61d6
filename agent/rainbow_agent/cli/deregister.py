"""`rainbow-agent deregister`."""

from __future__ import annotations

import click

from rainbow_agent.cli.common import reports_errors, say, settings_options
from rainbow_agent.cli.state_folder import expect_own
from rainbow_agent.runtime.settings import Settings


@click.command(name="deregister")
@settings_options("host", "cluster", "state_dir", "config")
@reports_errors
def command(settings: Settings) -> None:
    """Remove this cluster from rainbow and forget its secret. Stop the daemon first.

    Jobs that are still waiting for it in rainbow will not be delivered. A cluster that is not
    registered is no error.

    Example: rainbow-agent deregister --cluster blue
    """
    from rainbow_agent.daemon.once import deregister_once  # noqa: PLC0415 - grpc: heavy

    expect_own(settings)
    if nothing := deregister_once(settings):
        say(f"Cluster {settings.cluster} is not registered ({nothing}): nothing to do.")
        return
    say(f"Cluster {settings.cluster} is no longer registered with {settings.host}.")
