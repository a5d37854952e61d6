"""The journal on disk: one JSON object a line, in the order things happened.

Lines that begin with `{"event"` are for clients and go to them as they stand. The others are the
server's own: `{"header"` (once, first), `{"jobspec"` (before the job's submit event), `{"process"`
(a process that was started). The file is also the clients' buffer: each of them reads it at its
own pace, so a slow one costs the server nothing.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rainbow_agent.core.errors import Fatal
from rainbow_agent.workload.local.server.protocol import encode

log = logging.getLogger(__name__)

PUBLIC = b'{"event"'
JOURNAL_FORMAT = 1
#: Bytes read at a time.
_CHUNK = 256 * 1024


class JournalLog:
    """An append-only file. Entries wait in memory until commit(), which puts them on disk."""

    def __init__(self, fd: int, path: Path, end: int) -> None:
        self._fd = fd
        self._path = path
        self._end = end
        self._waiting: list[bytes] = []
        self.committed = end  # bytes that are on disk and may be shown

    @classmethod
    def open(cls, path: Path) -> JournalLog:
        """Open or make the file, mode 0600. What a crash left half written at its end goes."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        size = os.fstat(fd).st_size
        end = _last_line_end(fd, size)
        if end < size:
            log.warning(
                "Dropped %d bytes of an event that was half written at the end of %s",
                size - end,
                path,
                extra={"action": "journal_truncated", "bytes": size - end},
            )
            os.ftruncate(fd, end)
        return cls(fd, path, end)

    def entries(self) -> Iterator[dict[str, Any]]:
        """Everything in the file.

        Raises:
            Fatal: a line is damaged.
        """
        with self._path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    entry = json.loads(line)
                except ValueError as exc:
                    raise self._damaged(number) from exc
                if not isinstance(entry, dict):
                    raise self._damaged(number)
                yield entry

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add an entry; it is on disk after commit()."""
        self.append_line(encode(entry))

    def append_line(self, line: bytes) -> None:
        """Add an entry that was encoded already."""
        self._waiting.append(line)

    @property
    def dirty(self) -> bool:
        """Whether a commit() would do something."""
        return bool(self._waiting) or self.committed < self._end

    def write(self) -> None:
        """Hand what waits to the kernel: it survives this process, not the machine.

        Raises:
            OSError: the disk is full or broken. What was written of it is cut off again.
        """
        data = memoryview(b"".join(self._waiting))
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
        except OSError:
            os.ftruncate(self._fd, self._end)
            raise
        self._waiting.clear()
        self._end += len(data)

    def commit(self) -> None:
        """Put everything on the disk, and show it to readers.

        Raises:
            OSError: the disk is full or broken.
        """
        self.write()
        if self.committed < self._end:
            os.fdatasync(self._fd)
            self.committed = self._end

    def read(self, offset: int) -> tuple[bytes, int]:
        """Some of the clients' lines from an offset on, and the offset to go on from."""
        size = min(_CHUNK, self.committed - offset)
        data = os.pread(self._fd, size, offset)
        while not (cut := data.rfind(b"\n") + 1) and len(data) < self.committed - offset:
            data += os.pread(self._fd, len(data), offset + len(data))
        lines = data[:cut].splitlines(keepends=True)
        return b"".join(line for line in lines if line.startswith(PUBLIC)), offset + cut

    def close(self) -> None:
        """Close the file; what was not committed is lost."""
        os.close(self._fd)

    def _damaged(self, line: int) -> Fatal:
        return Fatal(
            f"journal {self._path} is damaged in line {line}; move the folder {self._path.parent}"
            " away to start with an empty one (its jobs then count as lost)"
        )


def _last_line_end(fd: int, size: int) -> int:
    """Where the last complete line ends."""
    end = size
    while end > 0:
        start = max(0, end - _CHUNK)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
