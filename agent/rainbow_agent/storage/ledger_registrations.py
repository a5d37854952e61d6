"""The registrations that there were, and small facts that outlive a run."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from rainbow_agent.core.model import Registration
from rainbow_agent.storage.ledger_connection import LedgerPart

_OPEN = """
INSERT INTO registration (id, cluster, host, opened, turn, number)
SELECT ?, ?, ?, ?, coalesce(max(turn), 0) + 1, coalesce(max(number), 0) + 1 FROM registration
WHERE true
ON CONFLICT (id) DO UPDATE SET
    cluster = excluded.cluster, host = excluded.host, closed = NULL, turn = excluded.turn
"""
# One that is learned of after its end is never the current one.
_PAST = """
INSERT INTO registration (id, cluster, host, opened, closed, turn, number)
SELECT ?, ?, ?, ?, ?, coalesce(max(turn), 0) + 1, coalesce(max(number), 0) + 1 FROM registration
WHERE true
ON CONFLICT (id) DO NOTHING
"""
_CLOSE_OTHERS = "UPDATE registration SET closed = ? WHERE id <> ? AND closed IS NULL"
_CLOSE = "UPDATE registration SET closed = ? WHERE id = ? AND closed IS NULL"
_CURRENT = """
SELECT id, cluster, host, opened FROM registration
WHERE closed IS NULL ORDER BY turn DESC LIMIT 1
"""
_PUT_NOTE = """
INSERT INTO note (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


class LedgerRegistrations(LedgerPart):
    """Which registration is the current one, and which there ever were."""

    def open_registration(self, registration: Registration) -> None:
        """Make this the current registration (idempotent by id); all others are over.

        A known one keeps the time it was opened first.
        """
        r = registration
        with self._connection.write() as db:
            db.execute(_OPEN, (r.id, r.cluster, r.host, r.opened))
            db.execute(_CLOSE_OTHERS, (r.opened, r.id))

    def close_registration(self, registration: str, at: float) -> None:
        """The registration is over; its open jobs stay what they are. Again changes nothing."""
        with self._connection.write() as db:
            db.execute(_CLOSE, (at, registration))

    def current_registration(self) -> Registration | None:
        """The one that was opened last and is not closed."""
        with self._connection.read() as db:
            row = db.execute(_CURRENT).fetchone()
        return Registration(*row) if row else None

    def registrations(self) -> set[str]:
        """Every registration that there ever was."""
        with self._connection.read() as db:
            return {row[0] for row in db.execute("SELECT id FROM registration")}


class LedgerNotes(LedgerPart):
    """Small JSON facts by name (rainbow's last contact, the workload manager's instance, ...)."""

    def put_note(self, name: str, value: Any) -> None:
        """Keep a JSON value under a name."""
        with self._connection.write() as db:
            put_note(db, name, value)

    def note(self, name: str) -> Any:
        """A value kept with put_note; None if it never was."""
        with self._connection.read() as db:
            return read_note(db, name)

    def checkpoint(self) -> None:
        """Write the log into the file, as far as no reader needs it."""
        self._connection.checkpoint()


def put_note(db: sqlite3.Connection, name: str, value: Any) -> None:
    """Notes.put_note, in a transaction that is open."""
    db.execute(_PUT_NOTE, (name, json.dumps(value)))


def read_note(db: sqlite3.Connection, name: str) -> Any:
    """Notes.note, in a transaction that is open."""
    row = db.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
    return json.loads(row[0]) if row else None


def record_past(db: sqlite3.Connection, registration: Registration, closed: float) -> None:
    """Store a registration that was learned of after its end; a known one stays as it is."""
    r = registration
    db.execute(_PAST, (r.id, r.cluster, r.host, r.opened, closed))


def expect_registration(db: sqlite3.Connection, registration: str) -> None:
    """See that a registration was opened.

    Raises:
        ValueError: it was not.
    """
    known = db.execute("SELECT 1 FROM registration WHERE id = ?", (registration,)).fetchone()
    if not known:
        raise ValueError(f"registration {registration!r} is not in the ledger: open it first")
