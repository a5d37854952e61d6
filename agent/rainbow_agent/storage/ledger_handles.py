"""Handles: which jobs have one, and which of their states were sent to the senders."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rainbow_agent.core.handles import Handle, SenderAddress
from rainbow_agent.core.model import JobKey, JobRow
from rainbow_agent.storage.ledger_connection import LedgerPart
from rainbow_agent.storage.ledger_rows import SELECT_JOBS, job_row, tasks_of_jobs

_COLUMNS = "id, inbox, token, verify, seal, nonce, keep"
_SEQ = "SELECT seq FROM job WHERE registration = ? AND id = ?"
# A row that came twice under two numbers has one handle: the first job has it.
_ADD = f"""
INSERT INTO handle (job, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""  # noqa: S608 - names of columns
_WAITS = "UPDATE job SET told = '' WHERE seq = ?"
_WHICH = """
 WHERE told IS NOT NULL AND told <> state AND NOT EXISTS (
    SELECT 1 FROM handle AS h WHERE h.job = job.seq AND (
        h.inbox IN (SELECT value FROM json_each(?1))
        OR EXISTS (SELECT 1 FROM json_each(?2) AS full WHERE
            json_extract(full.value, '$[0]') = h.inbox
            AND json_extract(full.value, '$[1]') = hex(h.verify))
    )
)
ORDER BY seq LIMIT ?3
"""
_UNTOLD = SELECT_JOBS + _WHICH
_HANDLE = f"SELECT {_COLUMNS}, turn FROM handle WHERE job = ?"  # noqa: S608 - names of columns
_TELL = "UPDATE job SET told = ? WHERE registration = ? AND id = ? AND told IS NOT NULL"
_TURN = (
    "UPDATE handle SET turn = ? WHERE job = (SELECT seq FROM job WHERE registration = ? AND id = ?)"
)
_NOTE = "INSERT INTO unread (inbox, verify, turn, size, at) VALUES (?, ?, ?, ?, ?)"
_UNREAD = """
SELECT inbox, verify, count(*), sum(size) FROM unread WHERE at >= ? GROUP BY inbox, verify
"""


@dataclass(frozen=True)
class Unread:
    """Rows that a sender has not said they took."""

    rows: int = 0
    size: int = 0  # bytes of their bodies


@dataclass(frozen=True)
class Untold:
    """A job whose sender does not know its state yet."""

    job: JobRow
    handle: Handle
    turn: int  # of the last state that was sent


class LedgerHandles(LedgerPart):
    """Jobs that have a handle."""

    def record_handles(self, handles: Mapping[JobKey, Handle]) -> None:
        """These jobs have handles; unknown jobs are left out, and a handle that another job has."""
        if not handles:
            return
        with self._connection.write() as db:
            for key, handle in handles.items():
                job = db.execute(_SEQ, (key.registration, key.id)).fetchone()
                if job and db.execute(_ADD, (job[0], *_values(handle))).rowcount:
                    db.execute(_WAITS, job)

    def untold(
        self, limit: int, besides: Collection[str] = (), full: Collection[SenderAddress] = ()
    ) -> list[Untold]:
        """Jobs whose senders do not know their state, by arrival.

        Args:
            limit: at most so many.
            besides: inboxes whose jobs are left out.
            full: senders whose jobs are left out.
        """
        senders = json.dumps([[each.inbox, each.verify.hex().upper()] for each in full])
        with self._connection.read() as db:
            rows = db.execute(_UNTOLD, (json.dumps(list(besides)), senders, limit)).fetchall()
            tasks = tasks_of_jobs(db, [row[0] for row in rows]) if rows else {}
            found = []
            for row in rows:
                *handle, turn = db.execute(_HANDLE, (row[0],)).fetchone()
                found.append(Untold(job_row(row, tasks.get(row[0], ())), Handle(*handle), turn))
            return found

    def mark_told(self, told: Sequence[tuple[JobKey, str, int]]) -> None:
        """Senders know these states: job, state, and the turn under which it was sent."""
        if not told:
            return
        with self._connection.write() as db:
            db.executemany(_TELL, [(state, k.registration, k.id) for k, state, _ in told])
            db.executemany(_TURN, [(turn, k.registration, k.id) for k, _, turn in told])

    def note_row(self, to: SenderAddress, turn: int, size: int, at: float, keep: float) -> None:
        """A row is in an inbox; those that are older than `keep` seconds no longer count."""
        with self._connection.write() as db:
            db.execute("DELETE FROM unread WHERE at < ?", (at - keep,))
            db.execute(_NOTE, (to.inbox, to.verify, turn, size, at))

    def note_taken(self, by: SenderAddress, turn: int) -> None:
        """A sender has taken all messages up to this turn."""
        with self._connection.write() as db:
            query = "DELETE FROM unread WHERE inbox = ? AND verify = ? AND turn <= ?"
            db.execute(query, (by.inbox, by.verify, turn))

    def unread(self, since: float) -> dict[SenderAddress, Unread]:
        """What each sender has not said they took of the messages since then."""
        with self._connection.read() as db:
            found = db.execute(_UNREAD, (since,)).fetchall()
        return {SenderAddress(inbox, verify): Unread(*facts) for inbox, verify, *facts in found}


def _values(handle: Handle) -> tuple[object, ...]:
    return (
        handle.id,
        handle.inbox,
        handle.token,
        handle.verify,
        handle.seal,
        handle.nonce,
        handle.keep,
    )
