"""`rainbow-agent inbox`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from rainbow_agent.cli.common import (
    flag_options,
    load_settings,
    reports_errors,
    say,
    settings_options,
)
from rainbow_agent.core.errors import ClusterExists, UsageError
from rainbow_agent.fleet.messages.own_inbox import inbox_path
from rainbow_agent.runtime.addresses import to_listen
from rainbow_agent.runtime.settings import Settings


@click.group(name="inbox", invoke_without_command=True)
@click.option(
    "--http",
    "address",
    metavar="HOST:PORT",
    help="Show the jobs that were sent from here, on all clusters, as a page at this address (port"
    " 0: any that is free), until it is stopped.",
)
@flag_options("host", "config", "sent_dir")
@click.pass_context
@reports_errors
def command(context: click.Context, address: str | None, flags: dict[str, str | None]) -> None:
    """Make an inbox, in which a sender's jobs are reported, or show it as a page.

    The page has the last 500 jobs that were sent from here, on all clusters, and what `fleet` last
    heard of each cluster; it can only be read, by whoever reaches the address.

    Example: rainbow-agent inbox create alice
    """
    if context.invoked_subcommand is not None:
        if address is not None or any(flags.values()):
            raise UsageError(f"options go behind `inbox {context.invoked_subcommand}`")
        return
    if address is None:
        click.echo(context.get_help())
        return
    from rainbow_agent.cli.inbox_http import serve  # noqa: PLC0415 - only for this

    try:
        where = to_listen(address)
    except ValueError as exc:
        raise UsageError(f"--http {address[:80]}: {exc}") from exc
    serve(where, load_settings(flags))


@command.command(name="create")
@click.argument("name")
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; default: inbox.yaml in RAINBOW_SENT_DIR.",
)
@settings_options("host", "config", "sent_dir")
@reports_errors
def create(name: str, path: Path | None, settings: Settings) -> None:
    """Register an inbox with rainbow and write its file, which is all that its owner needs.

    It takes the registration secret (RAINBOW_SECRET). The inbox is a cluster called inbox-NAME that
    has no node and no core, so that no job fits it. Its file is for one sender: whoever has it
    can read the messages to that sender, and remove them.

    Example: rainbow-agent inbox create alice --file alice.yaml
    """
    from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc
    from rainbow_agent.fleet.messages.inboxes import create_inbox, inbox_name  # noqa: PLC0415

    if not settings.secret:
        raise UsageError("to make an inbox takes the registration secret: set RAINBOW_SECRET")
    full, target = inbox_name(name), path or inbox_path(settings)
    with closing(connect(settings)) as scheduler:
        try:
            # Once: rainbow gives a secret once, and an answer that is lost is lost.
            create_inbox(
                scheduler, full, host=settings.host, secret=settings.secret.reveal(), path=target
            )
        except ClusterExists as exc:
            raise UsageError(
                f"there is an inbox {full} already, whose file was written when it was made; choose"
                " another NAME"
            ) from exc
    say(f"Made the inbox {full}; {target} reads it. Keep that file to its owner.")
