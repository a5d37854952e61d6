"""What a sender finds in their inbox, and what they then know of their jobs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from rainbow_agent.core.errors import RainbowAgentError, RequestDenied, Transient, Unavailable
from rainbow_agent.fleet.messages.own_inbox import at_inbox
from rainbow_agent.monitoring import sent_views
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.setting_types import age_text
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.carrier import Carrier
    from rainbow_agent.fleet.messages.sender import Sender
    from rainbow_agent.runtime.stop import Stop
    from rainbow_agent.storage.sent_store import SentJob, SentStore

#: Denials in a row that are believed: rainbow also denies what it could not look up at that moment
#: (decision 0051).
BELIEVED_DENIALS: Final = 3
#: Seconds for which rainbow is asked to wait for a message; a signal ends the verb after that.
LOOK_WAIT_S: Final = 1.0


def take(sender: Sender, scheduler: Carrier, settings: Settings, wait: float = 0.0) -> int:
    """Take what is in the inbox; how many states were news.

    Clusters that have told much hear that it was taken, or they would stop.

    Args:
        sender: whose inbox.
        scheduler: the rainbow that has it.
        settings: name the tokens of the clusters.
        wait: seconds to wait for a message, where rainbow can: `sender.has_waited`.

    Raises:
        Transient: rainbow does not answer, or denies the inbox, which it may do in error.
        RainbowAgentError: it denies the inbox again and again.
    """
    try:
        taken = sender.take(scheduler, wait)
    except RequestDenied as exc:
        sender.denials += 1
        if sender.denials < BELIEVED_DENIALS:
            raise Unavailable(f"rainbow denies the inbox {sender.inbox.name}: {exc}") from exc
        raise RainbowAgentError(
            f"rainbow denies the inbox {sender.inbox.name}: it was removed, or rainbow lost its"
            f" database ({exc}). What is known of the jobs stays; for new ones make another inbox"
        ) from exc
    for name in taken.jobs:
        sender.note(f"note: job {name!r} was sent to this inbox, which runs nothing; it is gone")
    if taken.dropped:
        sender.note(
            f"note: {taken.dropped} messages had waited in the inbox for more than"
            f" {age_text(settings.keep_news)} (RAINBOW_KEEP_NEWS), and are dropped"
        )
    if unread := sender.unread():
        from rainbow_agent.fleet.messages.asking import Asker  # noqa: PLC0415 - it imports this module

        try:
            asker = Asker(sender, settings)
            for job in unread:
                asker.ask(scheduler, job, {"ask": "taken"})
        except RainbowAgentError as exc:
            if str(exc) not in sender.said:
                sender.said.add(str(exc))
                sender.note(f"note: clusters do not know that their messages were read: {exc}")
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
            sender.note(f"note: this is what was known before; {exc}")


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


def known(store: SentStore, handle: str, settings: Settings) -> dict[str, Any]:
    """What is known of one job, as view_of().

    Raises:
        RainbowAgentError: no such job was sent from here.
    """
    (job,) = find_sent(store, [handle], settings)
    return view_of(job, store, settings)
