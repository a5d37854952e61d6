"""Making an inbox: a cluster that stands for whoever sends jobs, and runs nothing."""

from __future__ import annotations

from pathlib import Path

from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.handles import INBOX_PREFIX, is_inbox
from rainbow_agent.core.ports import Scheduler
from rainbow_agent.fleet.messages.graph import INBOX_GRAPH
from rainbow_agent.fleet.messages.sender_files import InboxAccess, check_writable, save_inbox


def inbox_name(name: str) -> str:
    """The cluster's name of an inbox that a person calls so.

    Raises:
        UsageError: there can be none of this name.
    """
    full = name if name.startswith(INBOX_PREFIX) else INBOX_PREFIX + name
    if not is_inbox(full):
        raise UsageError(
            f"inbox name {name[:80]!r}: use 1 to 57 of a-z, 0-9 and '-', beginning and ending with"
            " a letter or digit"
        )
    return full


def create_inbox(
    scheduler: Scheduler, name: str, *, host: str, secret: str, path: Path
) -> InboxAccess:
    """Register an inbox, and write its file.

    Args:
        scheduler: the rainbow at `host`.
        name: what inbox_name() gave.
        host: host:port, for the file.
        secret: allows registration.
        path: the file, which must not be there: rainbow gives a secret once.

    Raises:
        UsageError: the file is there, or cannot be written.
        ClusterExists: there is an inbox of this name.
        Transient, Refused: rainbow does not register it.
    """
    if path.exists():
        raise UsageError(
            f"there is an inbox's file already: {path}; name another one with --file, or use it"
        )
    check_writable(path)
    given = scheduler.register(name, secret, INBOX_GRAPH)
    inbox = InboxAccess(name, host, given.secret, given.token)
    save_inbox(path, inbox)
    return inbox
