"""Priorities in the systemd journal."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from rainbow_agent.runtime.journald import PriorityFormatter, leads_to_journal


def test_only_the_stream_that_systemd_connected_leads_to_the_journal(tmp_path: Path) -> None:
    """The variable alone says nothing: it may be inherited, and the stream another."""
    with (tmp_path / "journal").open("w") as journal, (tmp_path / "file").open("w") as other:
        found = os.fstat(journal.fileno())
        environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert leads_to_journal(journal, environ)
        assert not leads_to_journal(other, environ)
        assert not leads_to_journal(journal, {})
    assert not leads_to_journal(journal, environ), "it is closed"


@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.CRITICAL, 2),
        (logging.ERROR, 3),
        (logging.WARNING, 4),
        (logging.INFO, 6),
        (logging.DEBUG, 7),
    ],
)
def test_every_line_has_the_priority_of_its_record(level: int, priority: int) -> None:
    """Also those of a traceback."""
    record = logging.LogRecord("x", level, __file__, 1, "one\ntwo", (), None)
    text = PriorityFormatter(logging.Formatter()).format(record)
    assert text == f"<{priority}>one\n<{priority}>two"
