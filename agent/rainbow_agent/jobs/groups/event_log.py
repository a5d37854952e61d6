"""Where a group's runner tells what becomes of its tasks: a log that outlives it.

Under Flux the guest namespace of the group's job in the instance around it (group_log.py reads
it); under the local workload manager a file of its server. Written in batches: news is gathered
for longer the more there is, since each batch is a transaction.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.group_events import to_line
from rainbow_agent.core.model import TaskChange

log = logging.getLogger(__name__)

#: How long news is gathered: as long as the last write took times this, within these seconds.
_SHARE = 4.0
_MIN_GATHER_S = 0.1
_MAX_GATHER_S = 2.0
#: Seconds between two tries when it cannot be written, and for the last words at the end.
_RETRY_AFTER_S = 1.0
_CLOSE_TIMEOUT_S = 5.0


def to_file(path: Path) -> Callable[[str], None]:
    """A writer that appends to a file, mode 0600."""

    def write(text: str) -> None:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(text)

    return write


class EventLogWriter:
    """Writes news in the background, in order; the last of it with close().

    Args:
        open_writer: makes the writer, in the thread that writes.
    """

    def __init__(self, open_writer: Callable[[], Callable[[str], None]]) -> None:
        self._open_writer = open_writer
        self._lines: list[str] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def report(self, news: Sequence[TaskChange]) -> None:
        """Take news to be written."""
        lines = [to_line(change) for change in news]
        with self._lock:
            self._lines += lines
        self._wake.set()

    def close(self) -> None:
        """Write what is left; a log that cannot be written is given up after a while."""
        self._closed.set()
        self._wake.set()
        self._thread.join(_CLOSE_TIMEOUT_S)
        if self._lines:
            log.error(
                "%d events of this group's tasks could not be written to its event log",
                len(self._lines),
            )

    def _work(self) -> None:
        write: Callable[[str], None] | None = None
        pause = _MIN_GATHER_S
        while self._lines or not self._closed.is_set():
            self._wake.wait()
            self._closed.wait(pause)
            self._wake.clear()
            with self._lock:
                lines, self._lines = self._lines, []
            began = time.monotonic()
            try:
                if lines:
                    write = write or self._open_writer()
                    write("".join(lines))
                pause = min(max((time.monotonic() - began) * _SHARE, _MIN_GATHER_S), _MAX_GATHER_S)
            except (WorkloadUnavailable, OSError) as exc:
                log.warning(
                    "Events of this group's tasks cannot be written to its event log now: %s", exc
                )
                with self._lock:
                    self._lines = lines + self._lines
                self._wake.set()
                # Also after close(), which waits for so long only.
                threading.Event().wait(_RETRY_AFTER_S)
            if self._closed.is_set():
                self._wake.set()
