"""The ledger's file: made, opened, checked, brought to this version.

It is in WAL mode with `synchronous=FULL`: a commit is on the disk when it returns, and readers
never wait for the writer (sqlite.org/wal.html).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timezone
from functools import cache
from pathlib import Path

from rainbow_agent.core.errors import Fatal, LedgerDamaged, LedgerError, UsageError
from rainbow_agent.storage.ledger_connection import (
    LedgerConnection,
    damaged,
    errors_in_words,
    keep_few_pages,
)

#: Marks the file as ours (sqlite.org/pragma.html#pragma_application_id); 0001_ledger.sql sets it.
APPLICATION_ID = 0x524E4257

#: How long a writer waits for another one, in seconds. Our transactions take milliseconds.
BUSY_S = 30.0

#: A ledger up to this size, in bytes, is checked page by page when it is opened for writing
#: (some 30 ms at most, and each thread opens it); in a larger one damage shows when it is read.
MAX_CHECKED_BYTES = 8 * 1024 * 1024

_SCRIPTS = Path(__file__).with_name("sql")
_SCRIPT_NAME = re.compile(r"(\d{4})_\w+\.sql")


def connect(path: Path) -> LedgerConnection:
    """Open a ledger to read and write; make it, or bring it to this version, where needed.

    Raises:
        Fatal: it was written by a newer version.
        LedgerDamaged: it cannot be used.
    """
    with errors_in_words(path), _folder_locked(path):
        _create(path)
        connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        with _closed_on_error(connection):
            version = _version(connection, path)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _check_pages(connection, path)
            migrate(connection, version, scripts())
            connection.execute("PRAGMA foreign_keys = ON")
            keep_few_pages(connection)
    return LedgerConnection(connection, path)


def put_aside(path: Path, at: float) -> Path:
    """Move a ledger that is none any more out of the way, with what belongs to it.

    Args:
        path: the ledger's.
        at: epoch seconds, for the new name.

    Returns:
        Where it lies now: `ledger.sqlite.damaged-20240517T100000Z`, and the same with -wal, -shm.

    Raises:
        LedgerDamaged: it cannot be moved.
    """
    stamp = datetime.fromtimestamp(at, timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}.{number}")
    try:
        # Its log goes first: beside a new ledger it would be taken for that one's.
        for end in ("-wal", "-shm", ""):
            part = Path(f"{path}{end}")
            if part.exists():
                part.rename(Path(f"{aside}{end}"))
    except OSError as exc:
        raise _inaccessible(path, exc) from exc
    return aside


def connect_readonly(path: Path) -> LedgerConnection:
    """Open a ledger to read, beside a running daemon or without one.

    Makes no files while the ledger is at rest: what is then seen is the moment of opening.

    Raises:
        UsageError: there is none.
        Fatal: it is of another version.
        LedgerDamaged: it cannot be read.
    """
    _expect_there(path)
    # At rest (last closed in order) all is in the one file. Opened as usual, sqlite would make
    # -wal and -shm beside it, fail in a read-only folder, and leave them to our user.
    at_rest = not any(Path(f"{path}{end}").exists() for end in ("-wal", "-shm"))
    uri = f"{path.absolute().as_uri()}?{'immutable=1' if at_rest else 'mode=ro'}"
    with errors_in_words(path):
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None)
        with _closed_on_error(connection):
            version = _version(connection, path)
            if version != newest_version():
                raise Fatal(
                    f"{path} is a ledger of version {version}, this rainbow-agent reads"
                    f" {newest_version()}: start the agent in this version, which brings it up to"
                    " date; one of another version that runs has to be stopped first"
                )
    return LedgerConnection(connection, path)


@cache
def scripts() -> Sequence[tuple[int, str]]:
    """The migrations: number and SQL text, in order.

    Read once: the files may become those of another version while this process runs, and a daemon
    that opens its ledger again then must not bring it up to what it does not know.
    """
    return tuple((number, path.read_text(encoding="utf-8")) for number, path in _numbered())


def newest_version() -> int:
    """The version that the migrations lead to."""
    return scripts()[-1][0]


def migrate(
    connection: sqlite3.Connection, version: int, numbered: Sequence[tuple[int, str]]
) -> None:
    """Run the migrations above `version`, each in a transaction with its number.

    Raises:
        sqlite3.Error: a script failed; nothing of it is then written.
    """
    for number, script in numbered:
        if number <= version:
            continue
        try:
            # executescript commits what is open before it starts, so BEGIN stands inside.
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{script}\nPRAGMA user_version = {number};\nCOMMIT;"
            )
        except sqlite3.Error:
            with suppress(sqlite3.OperationalError):  # sqlite may have rolled back by itself
                connection.execute("ROLLBACK")
            raise


def _numbered() -> list[tuple[int, Path]]:
    named = ((_SCRIPT_NAME.fullmatch(path.name), path) for path in _SCRIPTS.iterdir())
    return sorted((int(name[1]), path) for name, path in named if name)


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Iterator[None]:
    try:
        yield
    except BaseException:  # whatever it is; raised again
        connection.close()
        raise


@contextmanager
def _folder_locked(path: Path) -> Iterator[None]:
    """One opener at a time: sqlite does not wait for another one that switches to WAL mode."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise _inaccessible(path, exc) from exc
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
        except OSError as exc:
            raise UsageError(
                f"ledger {path}: its folder cannot be locked ({exc.strerror}): sqlite needs a file"
                " system with locks. Mount it with them (NFS: without `nolock`), or set"
                " RAINBOW_STATE_DIR to another file system"
            ) from exc
        yield
    finally:
        os.close(folder)


def _create(path: Path) -> None:
    """Make the ledger where there is none; it is there whole or not at all, for its readers.

    Readable by its owner alone; sqlite gives -wal and -shm the same mode. An existing file is
    never opened here: closing it again would drop the locks of this process's other connections
    to it (sqlite.org/howtocorrupt.html, 2.2).
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        if path.exists():
            return
        fresh.unlink(missing_ok=True)  # of one that was killed here
        os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as exc:
        raise _inaccessible(path, exc) from exc
    with closing(sqlite3.connect(fresh, isolation_level=None)) as connection:
        # Space of what was removed can be given back, some at a time (ledger_history.py).
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        migrate(connection, 0, scripts())
    fresh.rename(path)


def _expect_there(path: Path) -> None:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise UsageError(
            f"no ledger at {path}: start the agent once, or check RAINBOW_STATE_DIR"
        ) from exc
    except OSError as exc:
        raise _inaccessible(path, exc) from exc


#: Errors that a person has to put right; all else may be over at another attempt.
_FOR_GOOD = (
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EEXIST,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
    errno.ELOOP,
)


def _inaccessible(path: Path, exc: OSError) -> LedgerError:
    if exc.errno not in _FOR_GOOD:
        return damaged(path, f"{exc.strerror or exc}: cannot be opened now")
    return LedgerDamaged(
        f"ledger {path}: {exc.strerror or exc}; give the user that runs the agent "
        "access to the folder, or set RAINBOW_STATE_DIR"
    )


def _version(connection: sqlite3.Connection, path: Path) -> int:
    """The ledger's version, 0 for an empty file; refuses what this code should not touch."""
    (mark,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if mark != APPLICATION_ID and (mark or version or tables):
        raise LedgerDamaged(
            f"{path} is a database, but no ledger of rainbow-agent; set RAINBOW_STATE_DIR to a "
            "folder of the agent's own"
        )
    if version > newest_version():
        raise Fatal(
            f"{path} is a ledger of version {version}, this rainbow-agent knows up to "
            f"{newest_version()}: install the newer rainbow-agent that wrote it"
        )
    return int(version)


def _check_pages(connection: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size > MAX_CHECKED_BYTES:
        return
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise damaged(path, f"malformed: {' '.join(str(verdict).split())}")
