"""Rows that outlive the scheduler: clusters with their secrets, and jobs that wait.

Tables and columns are the Go server's (pkg/database/database.go), so that either server can go on
with the other's file. Values are bound, never pasted into SQL.
"""

from __future__ import annotations

import hmac
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rainbow_agent.core.errors import UsageError
from rainbow_agent.fleet.scheduler_server.failure import Failure, denied

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS clusters (name TEXT NOT NULL PRIMARY KEY, token TEXT, secret TEXT);
CREATE TABLE IF NOT EXISTS jobs (
  idJob integer NOT NULL PRIMARY KEY AUTOINCREMENT,
  cluster TEXT,
  name TEXT,
  jobspec string,
  FOREIGN KEY(cluster) REFERENCES clusters(name)
);
CREATE INDEX IF NOT EXISTS jobs_by_cluster ON jobs (cluster, idJob);
-- The Go server does not know this one, and leaves it alone.
CREATE TABLE IF NOT EXISTS messages (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  cluster TEXT NOT NULL,
  at REAL NOT NULL, -- epoch seconds
  content BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS messages_by_cluster ON messages (cluster, id);
"""
_BATCH: Final = 500  # ids in one statement; sqlite allows 999 parameters at least


@dataclass(frozen=True)
class Row:
    """A job that waits."""

    id: int
    cluster: str
    name: str
    jobspec: str


@dataclass(frozen=True)
class Keys:
    """What a cluster was given when it registered."""

    token: str = field(repr=False)
    secret: str = field(repr=False)


class Store:
    """The database. One connection, one call at a time; each call is one transaction.

    Args:
        path: the file; made if it is not there.
        lock_wait: seconds to wait for another program that has the file locked.

    Raises:
        UsageError: the file cannot be opened.
    """

    def __init__(self, path: Path, lock_wait: float = 5.0) -> None:
        self._lock = threading.Lock()
        try:
            # It holds every cluster's secret: make it readable by its owner only, from the start.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(
                path, timeout=lock_wait, isolation_level=None, check_same_thread=False
            )
            with ExitStack() as on_error:
                on_error.callback(self._db.close)
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA synchronous = FULL")  # an answered SubmitJob is on disk
                self._db.executescript(_SCHEMA)
                on_error.pop_all()
        except (OSError, sqlite3.Error) as exc:
            raise UsageError(
                f"{path}: cannot open the scheduler's database: {exc}; choose another --db"
            ) from exc

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def add_cluster(self, name: str, keys: Keys) -> bool:
        """Add a cluster; False if there is one of this name."""
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT OR IGNORE INTO clusters (name, token, secret) VALUES (?, ?, ?)",
                (name, keys.token, keys.secret),
            )
            return cursor.rowcount == 1

    def remove_cluster(self, name: str) -> bool:
        """Remove a cluster; False if there was none. Its jobs wait on for one of its name."""
        with self._transaction() as db:
            return db.execute("DELETE FROM clusters WHERE name = ?", (name,)).rowcount > 0

    def check_secret(self, name: str, secret: str) -> None:
        """Raise Failure unless this is the cluster's secret."""
        self._check("secret", name, secret)

    def check_token(self, name: str, token: str) -> None:
        """Raise Failure unless this is the cluster's token."""
        self._check("token", name, token)

    def add_job(self, cluster: str, name: str, jobspec: str) -> int:
        """Add a job; its id, which no other job of this file has or had."""
        with self._transaction() as db:
            cursor = db.execute(
                "INSERT INTO jobs (name, cluster, jobspec) VALUES (?, ?, ?)",
                (name, cluster, jobspec),
            )
            return int(cursor.lastrowid or 0)

    def jobs(self, cluster: str, limit: int) -> list[Row]:
        """The jobs that wait for a cluster, oldest first; all when `limit` is below 1."""
        with self._transaction() as db:
            rows: Iterable[tuple[int, str, str]] = db.execute(
                "SELECT idJob, name, jobspec FROM jobs WHERE cluster = ? ORDER BY idJob LIMIT ?",
                (cluster, limit if limit >= 1 else -1),
            )
            return [Row(id_, cluster, name, str(jobspec)) for id_, name, jobspec in rows]

    def remove_jobs(self, cluster: str, ids: Sequence[int]) -> int:
        """Remove jobs of a cluster; how many there were."""
        removed = 0
        with self._transaction() as db:
            for start in range(0, len(ids), _BATCH):
                batch = ids[start : start + _BATCH]
                marks = ",".join("?" * len(batch))
                removed += db.execute(
                    # Only question marks are put into the text.
                    f"DELETE FROM jobs WHERE cluster = ? AND idJob IN ({marks})",  # noqa: S608
                    (cluster, *batch),
                ).rowcount
        return removed

    def add_message(self, cluster: str, content: bytes, at: float, limit: int) -> bool:
        """Add a message; False if the cluster's would have more than `limit` bytes with it."""
        size = "SELECT coalesce(sum(length(content)), 0) FROM messages WHERE cluster = ?"
        with self._transaction() as db:
            (kept,) = db.execute(size, (cluster,)).fetchone()
            if kept + len(content) > limit:
                return False
            query = "INSERT INTO messages (cluster, at, content) VALUES (?, ?, ?)"
            db.execute(query, (cluster, at, content))
            return True

    def messages(self, cluster: str, limit: int) -> tuple[list[tuple[int, bytes]], bool]:
        """A cluster's messages with their ids, oldest first, and whether these are all.

        Args:
            cluster: whose.
            limit: bytes after which no more are added.
        """
        query = "SELECT id, content FROM messages WHERE cluster = ? ORDER BY id"
        found: list[tuple[int, bytes]] = []
        with self._transaction() as db:
            for number, content in db.execute(query, (cluster,)):
                if limit <= 0:
                    return found, False
                found.append((number, content))
                limit -= len(content)
        return found, True

    def remove_messages(self, cluster: str, ids: Sequence[int]) -> None:
        """Remove messages of a cluster."""
        with self._transaction() as db:
            rows = [(cluster, number) for number in ids]
            db.executemany("DELETE FROM messages WHERE cluster = ? AND id = ?", rows)

    def expire_messages(self, before: float) -> int:
        """Remove all messages that came before this time, epoch seconds; how many there were."""
        with self._transaction() as db:
            return db.execute("DELETE FROM messages WHERE at < ?", (before,)).rowcount

    def _check(self, column: str, name: str, given: str) -> None:
        with self._transaction() as db:
            row = db.execute(
                "SELECT token, secret FROM clusters WHERE name = ?", (name,)
            ).fetchone()
        kept = "" if row is None else str(row[0 if column == "token" else 1])
        if not kept or not hmac.compare_digest(kept.encode(), given.encode()):
            raise denied()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; sqlite's own words as the refusal when it cannot."""
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                with self._db:
                    yield self._db
            except sqlite3.Error as exc:
                raise Failure(str(exc)) from exc
