"""`rainbow-agent status`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from rainbow_agent.cli.common import (
    echo_json,
    output_option,
    reports_errors,
    say,
    settings_options,
)
from rainbow_agent.cli.state_folder import expect_folder
from rainbow_agent.cli.terminal import paint, text_columns
from rainbow_agent.cli.watching import every_option
from rainbow_agent.core.errors import UsageError
from rainbow_agent.monitoring.status_sources import look
from rainbow_agent.monitoring.status_text import WIDTH, status_text
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings

#: States in which a person need not look.
_WELL = frozenset({"working", "idle", "draining"})


@click.command(name="status")
@click.argument("handle", required=False)
@click.option(
    "--watch", is_flag=True, help="Keep the display up to date, with the running jobs; ^C ends it."
)
@every_option
@click.option(
    "--check",
    is_flag=True,
    help="For scripts: one line, and status 0 only if nothing is wrong.",
)
@settings_options("host", "cluster", "state_dir", "config", "sent_dir")
@output_option
@reports_errors
def command(
    *,
    handle: str | None,
    watch: bool,
    every: float,
    check: bool,
    settings: Settings,
    output: str,
) -> None:
    """Show the agent's status, also while it is down.

    The first word is starting, working, idle, draining, degraded or stopped. Then comes what is
    wrong, and since when. Exits with status 0 if the daemon is running, and with 1 if not; with
    --check with 1 also if it is starting or degraded. With HANDLE: a job that was sent from here,
    as last reported by its cluster.

    Example: rainbow-agent status -o json
    """
    if handle is not None:
        if watch or check:
            raise UsageError("--watch and --check are about the agent: `rainbow-agent wait HANDLE`")
        from rainbow_agent.cli.sent import show_handle  # noqa: PLC0415 - only for this

        show_handle(handle, settings, output)
        return
    if watch and check:
        raise UsageError("--check looks once, --watch again and again: use one of them")
    expect_folder(settings)
    if watch:
        from rainbow_agent.cli.status_picture import picture  # noqa: PLC0415 - only for this
        from rainbow_agent.cli.watching import watch as keep_watching  # noqa: PLC0415 - likewise

        keep_watching(lambda: picture(settings), every, output)
        return
    now = SystemClock().now()
    view = look(settings, now)
    if output == "json":
        echo_json(view)
    elif check:
        say(_in_one_line(view))
    else:
        click.echo(status_text(view, now, width=text_columns(WIDTH), paint=paint))
    if not view["daemon"]["running"] or (check and view["state"] not in _WELL):
        raise SystemExit(1)


def _in_one_line(view: Mapping[str, Any]) -> str:
    """The word, and all that is wrong."""
    reasons = [f"{each['name']}: {each['reason']}" for each in view["reasons"]]
    return f"{view['state']}  {view['cluster']}" + ("  " + "; ".join(reasons) if reasons else "")
