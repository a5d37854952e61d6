"""What `submit` does around the sending where there is an inbox: a handle, and the wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rainbow_agent.cli.common import say
from rainbow_agent.cli.sent import at_inbox, inbox_of, inbox_path, make_inbox, sender_of
from rainbow_agent.core.errors import RainbowAgentError, Transient, UsageError
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

    def wait(self) -> int:
        """Wait for the job's end; the exit status that it deserves."""
        from rainbow_agent.cli.wait import wait_for  # noqa: PLC0415 - a verb's module

        assert self.sender and self.handle  # noqa: S101, PT018 - sending() was asked for both
        return wait_for(self.sender, [self.handle], self.settings, None)


@contextmanager
def sending(
    document: Mapping[str, Any], settings: Settings, *, needed: bool
) -> Iterator[SentDocument]:
    """The jobspec with a handle, remembered before it is sent; as it is where there is no inbox.

    A handle is forgotten when its job was certainly not sent.

    Args:
        document: the jobspec.
        settings: name the inbox, and the folder.
        needed: whether there must be an inbox.

    Raises:
        UsageError: there must be one, and there is none.
    """
    if not _has_inbox(settings):
        if needed:
            raise UsageError(
                f"--wait needs an inbox, and there is none ({inbox_path(settings)}): whoever has"
                " the registration secret makes one with `rainbow-agent inbox create NAME`; or"
                " --inbox auto, where this shell has it"
            )
        yield SentDocument(document, settings)
        return
    from rainbow_agent.fleet.messages.sender_files import sender_keys  # noqa: PLC0415 - yaml

    with sender_of(settings) as sender:
        keys = sender_keys(settings.sent_dir).public()
        name = str(document.get("name") or "job")
        handle, prepared = sender.prepare(document, name, keys, settings.keep_news)
        try:
            yield SentDocument(prepared, at_inbox(settings, sender.inbox), handle, sender)
        except RainbowAgentError as exc:
            sent = sender.store.job(handle)
            if sent is not None and sent.cluster is None:
                if isinstance(exc, Transient):
                    say(
                        f"note: whether the job went is not known; its handle is {handle}", err=True
                    )
                else:
                    sender.store.forget(handle)
            raise


def _has_inbox(settings: Settings) -> bool:
    """Whether there is an inbox; `--inbox auto` makes one."""
    if inbox_of(settings) is not None:
        return True
    if settings.inbox != "auto":
        return False
    from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc

    with closing(connect(settings)) as scheduler:
        inbox = make_inbox(settings, scheduler)
    say(f"Made the inbox {inbox.name}; {inbox_path(settings)} reads it.", err=True)
    return True
