"""What `submit` does around the sending where there is an inbox: a handle, and the wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rainbow_agent.cli.common import say
from rainbow_agent.core.errors import UsageError
from rainbow_agent.fleet.messages.own_inbox import inbox_path
from rainbow_agent.fleet.messages.sending import SentDocument, has_inbox, with_handle
from rainbow_agent.runtime.settings import Settings


@contextmanager
def sending(
    document: Mapping[str, Any], settings: Settings, *, needed: bool
) -> Iterator[SentDocument]:
    """The jobspec with a handle, where there is an inbox.

    Args:
        document: the jobspec.
        settings: name the inbox, and the folder.
        needed: whether there must be an inbox.

    Raises:
        UsageError: there must be one, and there is none.
    """
    if needed and not has_inbox(settings, _note):
        raise UsageError(
            f"--wait needs an inbox, and there is none ({inbox_path(settings)}): whoever has"
            " the registration secret makes one with `rainbow-agent inbox create NAME`; or"
            " --inbox auto, where this shell has it"
        )
    with with_handle(document, settings, _note) as sent:
        yield sent


def wait_for_end(sent: SentDocument) -> int:
    """Wait for the job's end; the exit status that it deserves."""
    from rainbow_agent.cli.wait import wait_for  # noqa: PLC0415 - a verb's module

    assert sent.sender and sent.handle  # noqa: S101, PT018 - sending() was asked for both
    return wait_for(sent.sender, [sent.handle], sent.settings, None)


def _note(text: str) -> None:
    say(text, err=True)
