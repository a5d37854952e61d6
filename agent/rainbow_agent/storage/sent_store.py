"""What a sender remembers of the jobs that they sent: a sqlite file in their own folder.

Several processes may have it open at once; each call is one transaction, durable when it returns.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import JobRow
from rainbow_agent.core.packed_jobs import left_out, unpack_job

_FILE: Final = "sent.sqlite"
_BUSY_S: Final = 10.0
#: What each version of the file adds to the one before; a new one is put at the end.
_SCHEMAS: Final = (
    """
CREATE TABLE sent (
    seq INTEGER PRIMARY KEY,
    handle TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    host TEXT NOT NULL, -- of the rainbow that it was sent to
    nonce BLOB NOT NULL,
    at REAL NOT NULL,
    cluster TEXT, -- NULL: SubmitJob was not answered
    heard REAL, -- when its cluster's last message about it came, by the clock here
    turn INTEGER NOT NULL DEFAULT 0, -- of the last state that was sent
    job TEXT, -- that state: core/packed_jobs.py
    counter INTEGER NOT NULL DEFAULT 0 -- of the last thing that was asked
);
-- When the last message of a cluster's agent came.
CREATE TABLE cluster (name TEXT PRIMARY KEY, heard REAL NOT NULL) WITHOUT ROWID;
""",
    """
-- What clusters answered, sealed, until whoever asked has read it.
CREATE TABLE answer (
    handle TEXT NOT NULL,
    counter INTEGER NOT NULL,
    at REAL NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (handle, counter)
);
""",
    """
-- What was taken of a cluster's messages, and when it heard so. `said` is the turn of which it
-- heard last, and 0 where more came since.
ALTER TABLE cluster ADD COLUMN turn INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cluster ADD COLUMN unread INTEGER NOT NULL DEFAULT 0; -- rows, as it said last
ALTER TABLE cluster ADD COLUMN said INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cluster ADD COLUMN said_at REAL NOT NULL DEFAULT 0;
""",
    """
ALTER TABLE cluster ADD COLUMN view TEXT; -- how it is, by its own last word, a JSON object
""",
    """
CREATE TABLE looked (at REAL NOT NULL); -- one row: when the inbox was empty last
""",
)
#: Seconds for which an answer that is not read is kept.
_KEEP_ANSWERS_S: Final = 3600.0
_COLUMNS: Final = "handle, name, host, nonce, at, cluster, heard, turn, job"
_HEARD: Final = """
INSERT INTO cluster (name, heard) VALUES (?, ?) ON CONFLICT DO UPDATE SET heard = excluded.heard
"""
_TOOK: Final = """
UPDATE cluster SET turn = max(turn, ?), unread = coalesce(?, unread), said = 0 WHERE name = ?
"""
_UNREAD_OF: Final = f"""
SELECT {", ".join(f"s.{name}" for name in _COLUMNS.split(", "))}
FROM cluster AS c JOIN sent AS s ON s.seq = (SELECT max(seq) FROM sent WHERE cluster = c.name)
WHERE (c.unread >= ? AND c.said = 0 OR c.unread >= ?) AND c.said_at < ? ORDER BY c.name
"""  # noqa: S608 - names of columns


@dataclass(frozen=True)
class SentJob:
    """A job that was sent, and what is known of it."""

    handle: str
    name: str
    host: str
    nonce: bytes = field(repr=False)
    at: float  # epoch seconds
    cluster: str | None  # None: it is not known whether, or to which cluster, it went
    heard: float | None  # epoch seconds: when its cluster's last message about it came
    turn: int
    job: JobRow | None  # None: no message about it came
    hidden_tasks: int = 0  # that the job has and that are in no message


class SentStore:
    """The file in a sender's folder.

    Args:
        folder: made if it is not there, mode 0700.

    Raises:
        RainbowAgentError: it cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(self._path, timeout=_BUSY_S, isolation_level=None)
            with ExitStack() as on_error:
                on_error.callback(self._db.close)
                self._prepare()
                on_error.pop_all()
        except (OSError, sqlite3.Error) as exc:
            raise RainbowAgentError(
                f"{self._path}: cannot use what is known of the jobs that were sent: {exc}; see"
                " RAINBOW_SENT_DIR"
            ) from exc

    def _prepare(self) -> None:
        with self._writing() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > len(_SCHEMAS):
                raise RainbowAgentError(
                    f"{self._path} is of a newer rainbow-agent: install that one"
                )
            for schema in _SCHEMAS[version:]:
                for statement in schema.split(";"):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {len(_SCHEMAS)}")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def add(self, handle: str, name: str, host: str, nonce: bytes, at: float) -> None:
        """A job is about to be sent."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO sent (handle, name, host, nonce, at) VALUES (?, ?, ?, ?, ?)",
                (handle, name, host, nonce, at),
            )

    def assigned(self, handle: str, cluster: str) -> None:
        """SubmitJob was answered."""
        with self._writing() as db:
            db.execute("UPDATE sent SET cluster = ? WHERE handle = ?", (cluster, handle))

    def forget(self, handle: str) -> None:
        """It was not sent after all."""
        with self._writing() as db:
            db.execute("DELETE FROM sent WHERE handle = ?", (handle,))

    def hear(self, handle: str, by: str, turn: int, job: dict[str, Any], at: float) -> bool:
        """Keep a cluster's message about a job; False where it is older than what is known.

        Also False where it is of another registration than the first message: one job has one.
        """
        with self._writing() as db:
            known = self._one(db, handle)
            if known is None or turn <= known.turn or known.cluster not in (None, by):
                return False
            if known.job is not None and known.job.key != unpack_job(job).key:
                return False
            db.execute(
                "UPDATE sent SET cluster = ?, heard = ?, turn = ?, job = ? WHERE handle = ?",
                (by, at, turn, json.dumps(job), handle),
            )
            db.execute(_HEARD, (by, at))
            return True

    def took(self, cluster: str, turn: int, unread: int | None, at: float) -> None:
        """All that the cluster told up to this turn is here; it spoke of so many unread rows."""
        with self._writing() as db:
            db.execute("INSERT OR IGNORE INTO cluster (name, heard) VALUES (?, ?)", (cluster, at))
            db.execute(_TOOK, (turn, unread, cluster))

    def looked(self) -> float | None:
        """When all that was in the inbox was taken last, epoch seconds; None: never."""
        with self._reading() as db:
            row = db.execute("SELECT at FROM looked").fetchone()
        return row[0] if row else None

    def note_look(self, at: float) -> None:
        """All that was in the inbox is taken."""
        with self._writing() as db:
            if not db.execute("UPDATE looked SET at = ?", (at,)).rowcount:
                db.execute("INSERT INTO looked VALUES (?)", (at,))

    def taken(self, cluster: str) -> int:
        """Up to which turn is here what the cluster told."""
        with self._reading() as db:
            row = db.execute("SELECT turn FROM cluster WHERE name = ?", (cluster,)).fetchone()
        return int(row[0]) if row else 0

    def said_taken(self, cluster: str, turn: int, at: float) -> None:
        """The cluster hears that."""
        query = "UPDATE cluster SET said = ?, said_at = ? WHERE name = ?"
        with self._writing() as db:
            db.execute(query, (turn, at, cluster))

    def unread(self, rows: int, full: int, before: float) -> list[SentJob]:
        """The newest job of each cluster that does not know that its rows were taken.

        Args:
            rows: it speaks of so many, and does not know that they are here,
            full: or of so many, with which it goes on only when it knows it.
            before: epoch seconds: when it heard so last at the latest.
        """
        with self._reading() as db:
            return [_sent(row) for row in db.execute(_UNREAD_OF, (rows, full, before))]

    def newest(self, cluster: str) -> SentJob | None:
        """The last job that was sent to a cluster."""
        query = f"SELECT {_COLUMNS} FROM sent WHERE cluster = ? ORDER BY seq DESC LIMIT 1"  # noqa: S608 - columns
        with self._reading() as db:
            row = db.execute(query, (cluster,)).fetchone()
        return _sent(row) if row else None

    def keep_view(self, cluster: str, view: dict[str, Any]) -> None:
        """How a cluster is, by its own word."""
        with self._writing() as db:
            values = (json.dumps(view), cluster)
            db.execute("UPDATE cluster SET view = ? WHERE name = ?", values)

    def view(self, cluster: str) -> dict[str, Any] | None:
        """How a cluster was, by its own last word; None: it has never said so."""
        with self._reading() as db:
            row = db.execute("SELECT view FROM cluster WHERE name = ?", (cluster,)).fetchone()
        return json.loads(row[0]) if row and row[0] else None

    def count(self, handle: str, at: float) -> int:
        """A counter for something that is asked: above all before, also in a copy of the folder."""
        with self._writing() as db:
            (last,) = db.execute("SELECT counter FROM sent WHERE handle = ?", (handle,)).fetchone()
            counter = max(int(last) + 1, int(at * 1000))
            db.execute("UPDATE sent SET counter = ? WHERE handle = ?", (counter, handle))
        return counter

    def put_answer(self, handle: str, counter: int, body: bytes, at: float) -> None:
        """Keep what a cluster answered; what was not read for an hour is removed."""
        with self._writing() as db:
            db.execute("DELETE FROM answer WHERE at < ?", (at - _KEEP_ANSWERS_S,))
            values = (handle, counter, at, body)
            db.execute("INSERT OR IGNORE INTO answer VALUES (?, ?, ?, ?)", values)

    def take_answer(self, handle: str, counter: int) -> bytes | None:
        """What was answered, once; None where nothing was."""
        query = "DELETE FROM answer WHERE handle = ? AND counter = ?"
        find = "SELECT body FROM answer WHERE handle = ? AND counter = ?"
        with self._writing() as db:
            row = db.execute(find, (handle, counter)).fetchone()
            db.execute(query, (handle, counter))
        return bytes(row[0]) if row else None

    def job(self, handle: str) -> SentJob | None:
        """A job that was sent; None where it is not known here."""
        with self._reading() as db:
            return self._one(db, handle)

    def jobs(self, limit: int | None = None) -> list[SentJob]:
        """The jobs that were sent, the last `limit` of them, oldest first."""
        query = f"SELECT {_COLUMNS} FROM sent ORDER BY seq DESC LIMIT ?"  # noqa: S608 - columns
        with self._reading() as db:
            rows = db.execute(query, (-1 if limit is None else limit,)).fetchall()
        return [_sent(row) for row in reversed(rows)]

    def cluster_heard(self, cluster: str) -> float | None:
        """When this cluster's last message about any job came, epoch seconds; None: never."""
        with self._reading() as db:
            row = db.execute("SELECT heard FROM cluster WHERE name = ?", (cluster,)).fetchone()
        return row[0] if row else None

    @staticmethod
    def _one(db: sqlite3.Connection, handle: str) -> SentJob | None:
        query = f"SELECT {_COLUMNS} FROM sent WHERE handle = ?"  # noqa: S608 - columns
        row = db.execute(query, (handle,)).fetchone()
        return _sent(row) if row else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several calls as one: all of them or none."""
        with self._writing():
            yield

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        if self._db.in_transaction:  # of transaction()
            yield self._db
            return
        with self._in_words():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._in_words():
            yield self._db

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as exc:
            raise RainbowAgentError(f"{self._path}: {exc}; free space or look at the disk") from exc


def _sent(row: tuple[Any, ...]) -> SentJob:
    told = json.loads(row[-1]) if row[-1] else None
    facts = [*row[:-1], unpack_job(told) if told else None, left_out(told) if told else 0]
    return SentJob(*facts)
