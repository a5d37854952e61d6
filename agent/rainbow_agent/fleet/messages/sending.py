"""A jobspec on its way: with a handle, where its sender has an inbox."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rainbow_agent.core.errors import RainbowAgentError, Transient
from rainbow_agent.fleet.messages.own_inbox import (
    at_inbox,
    inbox_of,
    inbox_path,
    make_inbox,
    sender_of,
)
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.sender import Sender


@dataclass(frozen=True)
class SentDocument:
    """A jobspec on its way."""

    document: Mapping[str, Any]  # what is sent
    settings: Settings
    handle: str | None = None  # None: there is no inbox
    sender: Sender | None = None

    def assigned(self, cluster: str) -> None:
        """Rainbow gave it to this cluster."""
        if self.sender and self.handle:
            self.sender.store.assigned(self.handle, cluster)


@contextmanager
def with_handle(
    document: Mapping[str, Any], settings: Settings, note: Callable[[str], None]
) -> Iterator[SentDocument]:
    """The jobspec with a handle, remembered before it is sent; as it is where there is no inbox.

    A handle is forgotten when its job was certainly not sent.

    Args:
        document: the jobspec.
        settings: name the inbox, and the folder.
        note: gets a sentence about what the sender should know.
    """
    if not has_inbox(settings, note):
        yield SentDocument(document, settings)
        return
    from rainbow_agent.fleet.messages.sender_files import sender_keys  # noqa: PLC0415 - yaml

    with sender_of(settings, note) as sender:
        keys = sender_keys(settings.sent_dir).public()
        name = str(document.get("name") or "job")
        handle, prepared = sender.prepare(document, name, keys, settings.keep_news)
        try:
            yield SentDocument(prepared, at_inbox(settings, sender.inbox), handle, sender)
        except RainbowAgentError as exc:
            sent = sender.store.job(handle)
            if sent is not None and sent.cluster is None:
                if isinstance(exc, Transient):
                    note(f"note: whether the job went is not known; its handle is {handle}")
                else:
                    sender.store.forget(handle)
            raise


def has_inbox(settings: Settings, note: Callable[[str], None]) -> bool:
    """Whether there is an inbox; with RAINBOW_INBOX=auto one is made, and that is noted.

    Raises:
        UsageError: none can be made.
    """
    if inbox_of(settings) is not None:
        return True
    if settings.inbox != "auto":
        return False
    from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc

    with closing(connect(settings)) as scheduler:
        inbox = make_inbox(settings, scheduler)
    note(f"Made the inbox {inbox.name}; {inbox_path(settings)} reads it.")
    return True
