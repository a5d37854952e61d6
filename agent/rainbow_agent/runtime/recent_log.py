"""The last lines of the daemon's log, kept in the state folder for `doctor --bundle`.

Two files that follow each other: what is kept is bounded, and survives however the daemon ends. A
thread of its own writes them, so that a folder on a file system that hangs holds up no log call.
"""

from __future__ import annotations

import os
import queue
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

#: Bytes from which on a file is the older one.
MAX_BYTES: Final = 256 * 1024
NEWER: Final = "agent.log"
OLDER: Final = "agent-older.log"
#: Lines that wait for the disk; beyond that, new ones are counted and not kept.
MAX_WAITING: Final = 2000
#: Seconds for which the end of the program waits for the last lines.
LAST_LINES_S: Final = 1.0


class RecentLog:
    """Appends lines to a file, mode 0600.

    Args:
        folder: where the two files are.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._older = folder / NEWER, folder / OLDER
        self._waiting: queue.Queue[str | None] = queue.Queue(MAX_WAITING)
        self._lost = 0
        self._thread = threading.Thread(target=self._work, name="recent-log", daemon=True)
        self._thread.start()

    def add(self, text: str) -> None:
        """Keep a line or more, soon; where that cannot be written, the log goes on without.

        Of one thread at a time, as of a logging.Handler.
        """
        lost = self._lost
        missing = f"({lost} lines are missing here: the disk was too slow)\n" if lost else ""
        try:
            self._waiting.put_nowait(missing + text)
            self._lost = 0
        except queue.Full:
            self._lost += 1

    def close(self) -> None:
        """Write what waits, as far as the disk takes it within LAST_LINES_S."""
        with suppress(queue.Full):
            self._waiting.put(None, timeout=LAST_LINES_S)
            self._thread.join(LAST_LINES_S)

    def _work(self) -> None:
        while (text := self._waiting.get()) is not None:
            with suppress(OSError):
                self._write(text)

    def _write(self, text: str) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(self._path, flags, 0o600)
        try:
            os.write(file, f"{text}\n".encode(errors="replace"))
            full = os.fstat(file).st_size >= MAX_BYTES
        finally:
            os.close(file)
        if full:
            self._path.replace(self._older)
