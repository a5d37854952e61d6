"""What the verbs of a sender share: their folder, their inbox, and what is in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from rainbow_agent.cli.common import echo_json, say
from rainbow_agent.cli.job_tables import tasks_table
from rainbow_agent.cli.terminal import fitted
from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.handles import is_handle
from rainbow_agent.fleet.messages.own_inbox import sender_of
from rainbow_agent.fleet.messages.taking import find_sent, refresh, view_of
from rainbow_agent.monitoring import sent_views
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.sender import Sender
    from rainbow_agent.storage.sent_store import SentJob, SentStore


@contextmanager
def own_sender(settings: Settings) -> Iterator[Sender]:
    """The sender of this shell, whose notes go to standard error.

    Raises:
        UsageError: they have no inbox.
    """
    with sender_of(settings, note=lambda text: say(text, err=True)) as sender:
        yield sender


def show_handle(handle: str, settings: Settings, output: str) -> None:
    """The job under a handle, after a look into the inbox.

    Raises:
        UsageError: it is no handle.
        RainbowAgentError: no such job was sent from here, or rainbow denies the inbox.
    """
    if not is_handle(handle):
        raise UsageError(f"{handle[:40]!r} is not a handle: `submit` prints it, as rb-...")
    with own_sender(settings) as sender:
        find_sent(sender.store, [handle], settings)
        refresh(sender, settings)
        (job,) = find_sent(sender.store, [handle], settings)
        _show_one(job, sender.store, settings, output)


def show_all(settings: Settings, limit: int | None, output: str) -> None:
    """The jobs that were sent from here, after a look into the inbox.

    Raises:
        RainbowAgentError: rainbow denies the inbox.
    """
    with own_sender(settings) as sender:
        refresh(sender, settings)
        jobs = sender.store.jobs(limit)
        views = [view_of(job, sender.store, settings) for job in jobs]
    if output == "json":
        echo_json(views)
    else:
        click.echo(_table(views) if views else f"No jobs were sent from {settings.sent_dir}.")


def _table(views: list[dict[str, Any]]) -> str:
    """Jobs that were sent, one a line."""
    return fitted(*sent_views.sent_cells(views), yielding=("REASON", "NAME"))


def _show_one(job: SentJob, store: SentStore, settings: Settings, output: str) -> None:
    """One job with its tasks, as `jobs JOB` shows it on the cluster."""
    view = view_of(job, store, settings)
    if output == "json":
        echo_json([view])
        return
    click.echo(_table([view]))
    if job.job is not None and job.job.tasks:
        click.echo("\n" + tasks_table(job.job.tasks, SystemClock().now()))
    if job.hidden_tasks:
        say(f"({job.hidden_tasks} more tasks are not shown)")
