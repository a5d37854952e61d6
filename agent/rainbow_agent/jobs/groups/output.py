"""Output of tasks in a group, put into the group's own before the instance that has it ends.

What jobs write is kept by the instance that they run in, and a group's instance ends with the
group. So what is to last (`watch: true`, and all of a group in a group) is copied when its task
has ended: whole lines, each behind the task's name, to where `logs` finds it and follows it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Callable

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.group_events import label
from rainbow_agent.core.model import TaskKey
from rainbow_agent.core.ports import Records
from rainbow_agent.core.workload_values import OutputPiece

log = logging.getLogger(__name__)

#: Seconds for the last copies once the group's tasks are over.
_LAST_WORDS = 20.0
_STREAMS = {"stdout": 1, "stderr": 2}


class Copies:
    """Copies in the background, one task after the other; the last with close().

    Args:
        open_records: makes the connection to what the group's instance keeps, in the thread that
            copies.
    """

    def __init__(self, open_records: Callable[[], Records]) -> None:
        self._open_records = open_records
        self._wanted: queue.SimpleQueue[tuple[TaskKey, int] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._began = False

    def copy(self, key: TaskKey, flux_id: int) -> None:
        """Copy what this task wrote; it has ended."""
        if not self._began:
            self._began = True
            self._thread.start()
        self._wanted.put((key, flux_id))

    def close(self) -> None:
        """Copy what was asked for; what takes too long is given up, and said."""
        if not self._began:
            return
        self._wanted.put(None)
        self._thread.join(_LAST_WORDS)
        if self._thread.is_alive():
            log.error("Not all output of this group's tasks could be kept in time")

    def _work(self) -> None:
        records: Records | None = None
        try:
            while (wanted := self._wanted.get()) is not None:
                try:
                    records = records or self._open_records()
                    _copy(records, *wanted)
                except RainbowAgentError as exc:
                    log.warning("What %s wrote could not be kept: %s", wanted[0].task, exc)
        finally:
            if records is not None:
                records.close()


def _copy(records: Records, key: TaskKey, flux_id: int) -> None:
    rest: dict[tuple[str, str], bytes] = {}
    for piece in records.output([flux_id], follow=False):
        source = (piece.stream, piece.rank)
        *lines, rest[source] = (rest.get(source, b"") + piece.data).split(b"\n")
        for line in lines:
            _write(key, piece, line)
    for (stream, rank), line in rest.items():
        if line:
            _write(key, OutputPiece(flux_id, stream, b"", rank), line)


def _write(key: TaskKey, piece: OutputPiece, line: bytes) -> None:
    # Lines of a group in a group have their tasks' names, which begin with its own.
    head = b"" if line.startswith(f"{key.task}/".encode()) else label(key).encode()
    with contextlib.suppress(OSError):  # its reader is gone
        os.write(_STREAMS.get(piece.stream, 2), head + line + b"\n")
