"""`rainbow-agent inbox`."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import click

from rainbow_agent.cli.common import reports_errors, say, settings_options
from rainbow_agent.cli.sent import inbox_path
from rainbow_agent.core.errors import ClusterExists, UsageError
from rainbow_agent.runtime.settings import Settings


@click.group(name="inbox", invoke_without_command=False)
def command() -> None:
    """Make an inbox, in which a sender's jobs are reported.

    Example: rainbow-agent inbox create alice
    """


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
