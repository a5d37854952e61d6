"""The last lines of the daemon's log, kept in the state folder for `doctor --bundle`.

Two files that follow each other: what is kept is bounded, and survives however the daemon ends.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

#: Bytes from which on a file is the older one.
MAX_BYTES: Final = 256 * 1024
NEWER: Final = "agent.log"
OLDER: Final = "agent-older.log"


class RecentLog:
    """Appends lines to a file, mode 0600.

    Args:
        folder: where the two files are.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._older = folder / NEWER, folder / OLDER

    def add(self, text: str) -> None:
        """Keep a line or more; where that cannot be written, the log goes on without."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with suppress(OSError):
            file = os.open(self._path, flags, 0o600)
            try:
                os.write(file, f"{text}\n".encode(errors="replace"))
                full = os.fstat(file).st_size >= MAX_BYTES
            finally:
                os.close(file)
            if full:
                self._path.replace(self._older)
