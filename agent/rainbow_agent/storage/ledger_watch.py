"""Whether the ledger's file is still the one that is in use, and no shorter than it was.

A daemon keeps its ledger open: it would go on writing to a file that was removed, and read what
was cut off from its memory, until the next start finds nothing. A look costs one stat(2); the file
is never opened here (closing it would drop sqlite's locks, sqlite.org/howtocorrupt.html, 2.2).
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from rainbow_agent.core.errors import LedgerCorrupt, LedgerDamaged

#: Bytes of a page: sqlite's default, which ledgers have.
_PAGE_BYTES: Final = 4096


class LedgerWatch:
    """Watches one file from its opening on.

    Args:
        path: the ledger's, which is open.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        facts = path.stat()
        self._identity = (facts.st_dev, facts.st_ino)
        self._size = facts.st_size
        self._shrunk_to: int | None = None

    def shrunk(self, size: int) -> None:
        """The agent itself gives space back: from now on the file may become as short as this.

        To be called before that is committed: another connection may write the log into the file
        at once, or much later. From any thread.

        Args:
            size: bytes.
        """
        before = self._shrunk_to
        self._shrunk_to = size if before is None else min(before, size)

    def look(self) -> None:
        """Look once.

        Raises:
            LedgerDamaged: it was removed, another file is in its place, or it is shorter, which a
                ledger never becomes by itself.
            LedgerCorrupt: it was cut off in the middle of a page.
        """
        try:
            facts = self._path.stat()
        except FileNotFoundError as exc:
            raise LedgerDamaged(
                f"ledger {self._path}: it was removed while it was in use; it is written again"
                " from the copy that is still open"
            ) from exc
        except OSError:
            return  # the next write says what is wrong
        if (facts.st_dev, facts.st_ino) != self._identity:
            raise LedgerDamaged(
                f"ledger {self._path}: another file was put in its place while it was in use; it is"
                " opened again"
            )
        shrunk = self._shrunk_to
        least = self._size if shrunk is None else min(self._size, shrunk)
        if facts.st_size < least:
            what = (
                f"ledger {self._path}: it became shorter while it was in use, from {self._size} to"
                f" {facts.st_size} bytes"
            )
            if facts.st_size % _PAGE_BYTES:
                raise LedgerCorrupt(f"{what}: it was cut off in the middle of a page")
            raise LedgerDamaged(
                f"{what}: it was cut off, or this was a VACUUM; it is looked through"
            )
        self._size = facts.st_size
        if shrunk is not None and facts.st_size <= shrunk:
            self._shrunk_to = None  # the log is in the file
