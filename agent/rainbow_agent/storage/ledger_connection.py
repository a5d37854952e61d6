"""One connection to the ledger's file: transactions on it, and its errors in words.

A connection belongs to one thread; each thread and each process opens its own.
"""

from __future__ import annotations

import os
import re
import resource
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from rainbow_agent.core.errors import (
    LedgerBlocked,
    LedgerCorrupt,
    LedgerDamaged,
    LedgerError,
    UsageError,
)

#: What passes while a connection is open: it is waited for. All else needs another connection.
_PASSES = ("disk is full", "locked", "file size limit")
#: What may pass and needs another connection: no damage, and no reason to stay down.
_MOMENTARY = ("disk I/O error", "out of memory", "cannot be opened now")
#: What to do, by a piece of sqlite's own message (it has no codes in Python 3.10).
_CURES = (
    (
        "disk is full",
        "free space on its file system; a running agent then continues, otherwise start it",
    ),
    ("disk I/O error", "look at the disk (`dmesg`); another attempt may succeed"),
    ("out of memory", "see the limits of memory; another attempt may succeed"),
    (
        "locked",
        (
            "another process has held it for too long: see `fuser FILE`; where there is none, its"
            " file system has no locks: set RAINBOW_STATE_DIR to another one"
        ),
    ),
    ("readonly", "make the file and its folder writable for the user that runs the agent"),
    (
        "file size limit",
        "raise it (`ulimit -f`, RLIMIT_FSIZE, LimitFSIZE=); a running agent then continues",
    ),
    ("cannot be opened now", "see the limit of open files (`ulimit -n`), and the disk (`dmesg`)"),
    ("unable to open", "make the file and its folder accessible to the user that runs the agent"),
)
#: Damage of the file itself, in sqlite's words; all else may be the disk's or the moment's.
_CORRUPT = re.compile(
    r"malformed|not a database|\*\*\*|file format|no such (table|column)|Tree \d|Page \d"
    r"|missing from index|wrong # of entries|invalid page number|non-unique"
    r"|Could not decode to UTF-8|unknown function"
)
_REPAIR = (
    "an agent that runs puts the file aside and rebuilds what Flux and rainbow still know, one that"
    " is started does it first of all (to look into what it holds, copy it and its -wal and use "
    "`sqlite3 COPY .recover`)"
)
#: KiB of pages that one connection of the daemon keeps. sqlite's own 2,000 are small pieces of
#: malloc's, which leave gaps when they are freed; and the kernel keeps the file anyway.
CACHE_KIB = 256


def keep_few_pages(connection: sqlite3.Connection) -> None:
    """Have a connection keep no more than CACHE_KIB of the file."""
    connection.execute(f"PRAGMA cache_size = -{CACHE_KIB}")


class LedgerConnection:
    """A connection and the transaction that is open on it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._depth = 0

    @classmethod
    def beside(cls, path: Path, busy_s: float) -> LedgerConnection:
        """One more connection to a ledger that is there, for a look or a small change at times.

        Args:
            path: the file; it is never made.
            busy_s: seconds to wait for a writer.

        Raises:
            LedgerError: it cannot be opened.
        """
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with errors_in_words(path), ExitStack() as on_error:
            connection = sqlite3.connect(uri, uri=True, timeout=busy_s, isolation_level=None)
            on_error.callback(connection.close)
            keep_few_pages(connection)
            on_error.pop_all()
        return cls(connection, path)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """All of the block or nothing of it; inside another `write`, a part of that one.

        Raises:
            LedgerError: it could not be written.
        """
        with errors_in_words(self._path):
            self._begin()
            self._depth += 1
            try:
                yield self._connection
                self._connection.execute("RELEASE part" if self._depth > 1 else "COMMIT")
            except BaseException:  # whatever it is; raised again
                self._undo()
                raise
            finally:
                self._depth -= 1

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """All queries of the block see the ledger at one moment.

        Raises:
            LedgerError: it could not be read, or holds what was never written.
        """
        with errors_in_words(self._path), _sense(self._path):
            if self._connection.in_transaction:
                yield self._connection
                return
            self._connection.execute("BEGIN")
            try:
                yield self._connection
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def try_to_write(self) -> None:
        """Write something and take it back: nothing is left, and nothing goes to the disk.

        Raises:
            LedgerError: it cannot be written.
        """
        with errors_in_words(self._path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._connection.execute("INSERT OR REPLACE INTO note VALUES ('probe', 'null')")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def checkpoint(self) -> None:
        """Write the log into the file as far as no reader needs it, so that it has not to grow.

        Raises:
            LedgerError: it cannot be written.
        """
        with errors_in_words(self._path):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def save(self, copy: Path) -> None:
        """Write the database into a new file (VACUUM INTO), mode 0600.

        Raises:
            LedgerError: it could not be.
        """
        with errors_in_words(self._path):
            self._connection.execute("VACUUM INTO ?", (str(copy),))
        copy.chmod(0o600)

    def shrink(self, pages: int, before: Callable[[int], None]) -> None:
        """Give so many free pages back to the file system.

        Args:
            pages: how many.
            before: called with the bytes that the database is about to have. Once this is
                committed, any connection may make the file that short.

        Raises:
            LedgerBlocked: it cannot be written now.
        """
        with errors_in_words(self._path):
            try:
                # One page a step, and execute() takes only the first.
                self._connection.executescript(
                    f"BEGIN IMMEDIATE; PRAGMA incremental_vacuum({pages});"
                )
                (count,) = self._connection.execute("PRAGMA page_count").fetchone()
                (size,) = self._connection.execute("PRAGMA page_size").fetchone()
                before(int(count) * int(size))
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    def close(self) -> None:
        """End the connection; again is allowed."""
        self._connection.close()

    def _begin(self) -> None:
        if self._depth == 0:
            # IMMEDIATE waits for other writers here; a later upgrade from reading could not wait.
            self._connection.execute("BEGIN IMMEDIATE")
        elif self._connection.in_transaction:
            self._connection.execute("SAVEPOINT part")
        else:
            # sqlite gave the whole transaction up (disk full, I/O error) and that was not heard.
            raise LedgerDamaged(f"{self._path}: the transaction failed before; start it again")

    def _undo(self) -> None:
        if not self._connection.in_transaction:
            return
        if self._depth > 1:
            self._connection.execute("ROLLBACK TO part")
            self._connection.execute("RELEASE part")
        else:
            self._connection.execute("ROLLBACK")


class LedgerPart:
    """Reads and writes one area of the ledger; the parts of one ledger share its connection."""

    def __init__(self, connection: LedgerConnection) -> None:
        self._connection = connection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several calls as one transaction: all of them or none."""
        with self._connection.write():
            yield

    def close(self) -> None:
        """End the connection; again is allowed."""
        self._connection.close()


@contextmanager
def errors_in_words(path: Path) -> Iterator[None]:
    """Turn sqlite's errors into a LedgerError: the file, what is wrong, what to do.

    What cannot be asked for or written (text with bytes that are none, a number beyond 64 bits) is
    a UsageError: the file is not at fault. sqlite's ProgrammingError (a wrong thread, a
    closed connection) is a mistake of ours and passes.
    """
    try:
        yield
    except sqlite3.ProgrammingError:
        raise
    except sqlite3.DatabaseError as exc:
        raise damaged(path, str(exc)) from exc
    except UnicodeDecodeError as exc:  # Python cannot read what sqlite says of broken text
        raise damaged(path, f"malformed text: {exc.reason}") from exc
    except UnicodeEncodeError as exc:
        raise UsageError(f"{exc.object!r} is not text: its bytes are not UTF-8") from exc
    except OverflowError as exc:
        raise UsageError(f"a number is too large for the ledger {path}: {exc}") from exc


@contextmanager
def _sense(path: Path) -> Iterator[None]:
    """Turn a value that makes no sense (a state that is none, broken JSON) into LedgerCorrupt.

    sqlite finds broken pages; what is broken inside of a value shows when it is read.
    """
    try:
        yield
    except UnicodeEncodeError:  # of what was asked for
        raise
    except ValueError as exc:
        raise damaged(path, f"malformed value: {exc}") from exc


#: Bytes below the limit at which the next write of sqlite may be beyond it.
_WRITTEN_AT_ONCE = 128 * 1024


def _files(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """What is seen of a ledger's files without opening any."""
    for end in ("", "-wal", "-shm"):
        each = Path(f"{path}{end}")
        with suppress(OSError):
            yield each, each.stat()


def _reached_size_limit(path: Path) -> bool:
    """Whether a write fails because of RLIMIT_FSIZE, which sqlite does not tell from a bad disk."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit == resource.RLIM_INFINITY:
        return False
    return any(facts.st_size + _WRITTEN_AT_ONCE > limit for _, facts in _files(path))


def _accessible(path: Path) -> bool:
    """Whether file modes are no reason that a ledger cannot be opened."""
    return os.access(path.parent, os.R_OK | os.W_OK | os.X_OK) and all(
        stat.S_ISREG(facts.st_mode) and os.access(each, os.R_OK | os.W_OK)
        for each, facts in _files(path)
    )


def damaged(path: Path, what: str) -> LedgerError:
    """The error that names a ledger, what is wrong with it in sqlite's words, and the cure."""
    if "disk I/O error" in what and _reached_size_limit(path):
        what = "a file of it has reached the file size limit of this process"
    if "unable to open" in what and _accessible(path):
        what = f"{what}: it is accessible, and cannot be opened now"
    cure = next((cure for piece, cure in _CURES if piece in what), None)
    kind: type[LedgerError] = LedgerDamaged
    if any(piece in what for piece in _PASSES):
        kind = LedgerBlocked
    elif any(piece in what for piece in _MOMENTARY):
        kind = LedgerError
    elif not cure and _CORRUPT.search(what):
        kind = LedgerCorrupt
    words = f"ledger {path}: {what}; {cure or _REPAIR}"
    return kind(words.replace("FILE", str(path)))
