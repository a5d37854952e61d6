"""The inbox of whoever runs this process, by their settings: its file, and the sender behind it.

What needs YAML or the folder's database is imported when it is used: `--help` has no need of it.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rainbow_agent.core.errors import UsageError
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.carrier import Carrier
    from rainbow_agent.fleet.messages.sender import Sender
    from rainbow_agent.fleet.messages.sender_files import InboxAccess


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
def sender_of(settings: Settings, note: Callable[[str], None]) -> Iterator[Sender]:
    """The sender, who has an inbox.

    Args:
        settings: name the inbox and the folder.
        note: gets a sentence about what the sender should know.

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
        yield Sender(inbox, store, SystemClock(), settings.keep_news, note)
