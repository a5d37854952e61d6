"""`rainbow-agent receive`."""

from __future__ import annotations

from contextlib import closing

import click

from rainbow_agent.cli.common import echo_json, output_option, reports_errors, settings_options
from rainbow_agent.cli.terminal import fitted
from rainbow_agent.core.errors import UsageError
from rainbow_agent.jobspec.handle import without_handle
from rainbow_agent.runtime.settings import Settings


@click.command(name="receive")
@click.option(
    "--max-jobs",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="At most this many; 0: all.",
)
@settings_options("host", "cluster", "state_dir", "config")
@output_option
@reports_errors
def command(max_jobs: int, settings: Settings, output: str) -> None:
    """Show the jobs that are waiting for this cluster in rainbow, without accepting any.

    Example: rainbow-agent receive --max-jobs 10
    """
    from rainbow_agent.fleet.build import credential_store  # noqa: PLC0415 - with the others
    from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc: heavy
    from rainbow_agent.fleet.retry import patiently  # noqa: PLC0415 - stamina: heavy

    store = credential_store(settings)
    secret = store.load()
    if secret is None:
        raise UsageError(
            f"cluster {settings.cluster} is not registered: {store.describe()} has no secret for it"
        )
    with closing(connect(settings)) as scheduler:
        offers = patiently(lambda: scheduler.receive(settings.cluster, secret.reveal(), max_jobs))
    if output == "json":
        shown = [(o.id, o.name, without_handle(o.jobspec)) for o in offers]
        echo_json([{"id": id_, "name": name, "jobspec": text} for id_, name, text in shown])
    elif offers:
        lines = [[str(o.id), o.name, f"{len(o.jobspec)} characters"] for o in offers]
        click.echo(fitted(["ID", "NAME", "JOBSPEC"], lines, yielding=("NAME",)))
    else:
        click.echo("No jobs are waiting.")
