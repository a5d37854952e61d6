"""`rainbow-agent register`: by hand what `start` does by itself."""

from __future__ import annotations

import click

from rainbow_agent.cli.common import reports_errors, say, settings_options
from rainbow_agent.runtime.settings import Settings


@click.command(name="register")
@settings_options("host", "cluster", "state_dir", "config", "workload")
@reports_errors
def command(settings: Settings) -> None:
    """Register this cluster with rainbow and store its secret; `start` does this by itself.

    A cluster that is already registered keeps its secret.

    Example: rainbow-agent register --cluster blue --host rainbow:8080
    """
    from rainbow_agent.daemon.once import register_once  # noqa: PLC0415 - grpc: heavy

    session = register_once(settings)
    say(f"Cluster {session.cluster} is registered with rainbow at {settings.host}.")
    say(f"Its secret is in {settings.config} (registration {session.registration}).")
