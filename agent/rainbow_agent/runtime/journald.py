"""Priorities for the systemd journal, so that `journalctl -p warning` finds what is wrong.

A line that begins with `<4>` has priority 4 there (sd-daemon(3)); the journal takes that off. Lines
that go anywhere else have none.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Final, TextIO

#: syslog(3)'s numbers, by the level that a record has at least.
_PRIORITIES: Final = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
)
_DEBUG: Final = 7


def leads_to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether a stream is the one that systemd connected to the journal (systemd.exec(5)).

    JOURNAL_STREAM has its device and inode: a process may have inherited the variable and write
    somewhere else.
    """
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class PriorityFormatter(logging.Formatter):
    """Puts the priority before each line of what another formatter makes."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """The lines of the record, each with its priority."""
        number = next((n for level, n in _PRIORITIES if record.levelno >= level), _DEBUG)
        lines = self._inner.format(record).split("\n")
        return "\n".join(f"<{number}>{line}" for line in lines)
