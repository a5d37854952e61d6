"""`rainbow-agent start`."""

from __future__ import annotations

import gc
import sys

import click

from rainbow_agent.cli.common import reports_errors, settings_options
from rainbow_agent.runtime.settings import Settings


@click.command(name="start")
@click.option(
    "--until-idle", is_flag=True, help="Exit with status 0 when there is nothing left to do."
)
@settings_options("host", "cluster", "state_dir", "config", "workload", beside_unit=False)
@reports_errors
def command(until_idle: bool, settings: Settings) -> None:
    """Run the daemon: register the cluster, receive jobs, submit them, and report.

    Example: flux start rainbow-agent start
    """
    gc.disable()  # what imports make stays; until daemon/process.py spares it
    from rainbow_agent.daemon.run import run_daemon  # noqa: PLC0415 - grpc, yaml: heavy

    sys.exit(run_daemon(settings, until_idle=until_idle))
