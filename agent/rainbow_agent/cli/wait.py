"""`rainbow-agent wait`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from rainbow_agent.cli.common import TIMED_OUT, reports_errors, say, settings_options
from rainbow_agent.cli.sent import own_sender
from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.handles import is_handle
from rainbow_agent.fleet.messages.waiting import AwaitedJobs
from rainbow_agent.monitoring.sent_views import SILENT
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import stop_on_signals

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.sender import Sender


@click.command(name="wait")
@click.argument("handles", nargs=-1, required=True, metavar="HANDLE...")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait at most, then it exits with status 124; default: no limit.",
)
@settings_options("host", "config", "sent_dir")
@reports_errors
def command(handles: tuple[str, ...], timeout: float | None, settings: Settings) -> None:
    """Wait for the end of jobs that were sent from here, and exit as they did.

    Exits with status 0 if all completed, and else with the exit code of the first that did not. A
    cluster that does not report back ends the wait with status 1, and with the reason.

    Example: rainbow-agent wait rb-7k3fq2mz5x6yacde --timeout 3600
    """
    for handle in handles:
        if not is_handle(handle):
            raise UsageError(f"{handle[:40]!r} is not a handle: `submit` prints it, as rb-...")
    with own_sender(settings) as sender:
        sys.exit(wait_for(sender, handles, settings, timeout))


def wait_for(
    sender: Sender, handles: Sequence[str], settings: Settings, timeout: float | None
) -> int:
    """Wait until all are over, and say how each ended; the exit status.

    Raises:
        RainbowAgentError: one is not known, or rainbow denies the inbox.
    """
    waiting = AwaitedJobs(sender, handles, settings, _tell)
    with stop_on_signals() as stop:
        stopped = waiting.until_over(timeout, stop)
    if not waiting.open:
        return next((waiting.statuses[each] for each in handles if waiting.statuses[each]), 0)
    if stopped:
        say("error: interrupted; the jobs continue", err=True)
        return 1
    say(f"error: {len(waiting.open)} of {len(handles)} jobs are not over", err=True)
    return TIMED_OUT


def wait_quietly(
    sender: Sender, handles: Sequence[str], settings: Settings, timeout: float
) -> None:
    """Wait until all are over, or the time is up; nothing is said of how they ended.

    Raises:
        RainbowAgentError: one is not known, or rainbow denies the inbox.
    """
    with stop_on_signals() as stop:
        AwaitedJobs(sender, handles, settings, None).until_over(timeout, stop)


def _tell(job: Mapping[str, Any]) -> None:
    """Say how a job ended, or that its cluster is silent."""
    reason = f": {job['reason']}" if job["reason"] else ""
    if job["state"] == SILENT:
        say(f"error: {job['handle']}{reason}", err=True)
    else:
        say(f"{job['handle']} ({job['name']}) on {job['cluster']}: {job['state']}{reason}")
