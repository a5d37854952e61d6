"""What the verbs of a sender share: their folder, their inbox, and what is in it."""

from __future__ import annotations

import getpass
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rainbow_agent.cli.common import echo_json, say
from rainbow_agent.cli.job_tables import tasks_table
from rainbow_agent.cli.terminal import fitted
from rainbow_agent.core.errors import (
    RainbowAgentError,
    RequestDenied,
    Transient,
    UsageError,
)
from rainbow_agent.core.handles import is_handle
from rainbow_agent.monitoring import sent_views
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.setting_types import age_text
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.carrier import Carrier
    from rainbow_agent.fleet.messages.sender import Sender
    from rainbow_agent.fleet.messages.sender_files import InboxAccess
    from rainbow_agent.runtime.stop import Stop
    from rainbow_agent.storage.sent_store import SentJob, SentStore

#: Seconds for which rainbow is asked to wait for a message; a signal ends the verb after that.
LOOK_WAIT_S: Final = 1.0


def inbox_path(settings: Settings) -> Path:
    """The file of the inbox that the settings name."""
    if settings.inbox in ("", "auto", "off"):
        return settings.sent_dir / "inbox.yaml"
    return Path(settings.inbox).expanduser()


def inbox_of(settings: Settings) -> InboxAccess | None:
    """The sender's inbox; None where they have none.

    Raises:
        UsageError: the file that was named is not there, or is none.
    """
    from rainbow_agent.fleet.messages.sender_files import load_inbox  # noqa: PLC0415 - yaml

    if settings.inbox == "off":
        return None
    path = inbox_path(settings)
    inbox = load_inbox(path)
    if inbox is None and settings.inbox not in ("", "auto"):
        raise UsageError(
            f"there is no inbox file {path}: whoever has the registration secret makes one with"
            " `rainbow-agent inbox create NAME`"
        )
    return inbox


def at_inbox(settings: Settings, inbox: InboxAccess) -> Settings:
    """The settings with the rainbow that has the inbox, where no other one is named."""
    if settings.sources.get("host", "default") == "default":
        return replace(settings, host=inbox.host)
    return settings


def make_inbox(settings: Settings, scheduler: Carrier) -> InboxAccess:
    """An inbox under a name of its own, for `--inbox auto`.

    Raises:
        UsageError: there is no registration secret to make one with.
    """
    from rainbow_agent.fleet.messages.inboxes import create_inbox, inbox_name  # noqa: PLC0415

    if not settings.secret:
        raise UsageError(
            "to make an inbox takes the registration secret: set RAINBOW_SECRET, or ask whoever has"
            " it for the file that `rainbow-agent inbox create NAME` writes"
        )
    return create_inbox(
        scheduler,
        inbox_name(_own_name()),
        host=settings.host,
        secret=settings.secret.reveal(),
        path=inbox_path(settings),
    )


def _own_name() -> str:
    """The user, the host, and random characters that make the name unique."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = str(os.getuid())
    text = f"{user}-{os.uname().nodename.split('.')[0]}".lower()
    return re.sub("[^a-z0-9]+", "-", text).strip("-")[:40].strip("-") + "-" + secrets.token_hex(3)


@contextmanager
def sender_of(settings: Settings) -> Iterator[Sender]:
    """The sender, who has an inbox.

    Raises:
        UsageError: they have none.
    """
    from rainbow_agent.fleet.messages.sender import Sender  # noqa: PLC0415 - yaml
    from rainbow_agent.storage.sent_store import SentStore  # noqa: PLC0415 - not for --help

    inbox = inbox_of(settings)
    if inbox is None:
        raise UsageError(
            f"there is no inbox ({inbox_path(settings)}): jobs that were sent without one cannot be"
            " asked about. Whoever has the registration secret makes one with `rainbow-agent inbox"
            " create NAME`"
        )
    with closing(SentStore(settings.sent_dir)) as store:
        yield Sender(inbox, store, SystemClock(), settings.keep_news)


def take(sender: Sender, scheduler: Carrier, settings: Settings, wait: float = 0.0) -> int:
    """Take what is in the inbox; how many states were news.

    Clusters that have told much hear that it was taken, or they would stop.

    Args:
        sender: whose inbox.
        scheduler: the rainbow that has it.
        settings: name the tokens of the clusters.
        wait: seconds to wait for a message, where rainbow can: `sender.has_waited`.

    Raises:
        Transient: rainbow does not answer.
        RainbowAgentError: it denies the inbox.
    """
    try:
        taken = sender.take(scheduler, wait)
    except RequestDenied as exc:
        raise RainbowAgentError(
            f"rainbow denies the inbox {sender.inbox.name}: it was removed, or rainbow lost its"
            f" database ({exc}). What is known of the jobs stays; for new ones make another inbox"
        ) from exc
    for name in taken.jobs:
        say(f"note: job {name!r} was sent to this inbox, which runs nothing; it is gone", err=True)
    if taken.dropped:
        say(
            f"note: {taken.dropped} messages had waited in the inbox for more than"
            f" {age_text(settings.keep_news)} (RAINBOW_KEEP_NEWS), and are dropped",
            err=True,
        )
    if unread := sender.unread():
        from rainbow_agent.cli.asking import Asker  # noqa: PLC0415 - it imports this module

        try:
            asker = Asker(sender, settings)
            for job in unread:
                asker.ask(scheduler, job, {"ask": "taken"})
        except RainbowAgentError as exc:
            if str(exc) not in sender.said:
                sender.said.add(str(exc))
                say(f"note: clusters do not know that their messages were read: {exc}", err=True)
    return taken.news


def rest(sender: Sender, stop: Stop, seconds: float) -> bool:
    """Wait until the next look, if rainbow has not waited already; True when it is time to stop."""
    return stop.wait(0.0 if sender.has_waited else seconds)


def refresh(sender: Sender, settings: Settings) -> None:
    """Take what is in the inbox; a rainbow that does not answer is said, and what is known shown.

    Raises:
        RainbowAgentError: rainbow denies the inbox.
    """
    from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc
    from rainbow_agent.fleet.retry import patiently  # noqa: PLC0415 - stamina

    with closing(connect(at_inbox(settings, sender.inbox))) as scheduler:
        try:
            patiently(lambda: take(sender, scheduler, settings))
        except Transient as exc:
            say(f"note: this is what was known before; {exc}", err=True)


def find_sent(store: SentStore, handles: Sequence[str], settings: Settings) -> list[SentJob]:
    """The jobs that are meant, each once.

    Raises:
        RainbowAgentError: one was not sent from here.
    """
    found = [(handle, store.job(handle)) for handle in dict.fromkeys(handles)]
    for handle, job in found:
        if job is None:
            raise RainbowAgentError(
                f"no job {handle[:40]} was sent from {settings.sent_dir}: `rainbow-agent jobs"
                " --sent` lists all that were; --sent-dir names another folder"
            )
    return [job for _, job in found if job is not None]


def view_of(job: SentJob, store: SentStore, settings: Settings) -> dict[str, Any]:
    """A job as JSON, with what is known in the place of a state."""
    now, reason = SystemClock().now(), ""
    state = sent_views.sent_state(job, now, settings.reply_within)
    if state in (sent_views.SENDING, sent_views.SILENT):
        heard = store.cluster_heard(job.cluster) if job.cluster else None
        reason = sent_views.why_silent(job, now, heard)
    return sent_views.sent_view(job, now, settings.reply_within, reason)


def show_handle(handle: str, settings: Settings, output: str) -> None:
    """The job under a handle, after a look into the inbox.

    Raises:
        UsageError: it is no handle.
        RainbowAgentError: no such job was sent from here, or rainbow denies the inbox.
    """
    if not is_handle(handle):
        raise UsageError(f"{handle[:40]!r} is not a handle: `submit` prints it, as rb-...")
    with sender_of(settings) as sender:
        find_sent(sender.store, [handle], settings)
        refresh(sender, settings)
        (job,) = find_sent(sender.store, [handle], settings)
        _show_one(job, sender.store, settings, output)


def show_all(settings: Settings, limit: int | None, output: str) -> None:
    """The jobs that were sent from here, after a look into the inbox.

    Raises:
        RainbowAgentError: rainbow denies the inbox.
    """
    with sender_of(settings) as sender:
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
