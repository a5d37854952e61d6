"""Handles: which jobs have one, and which of their states were sent to the senders."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from rainbow_agent.core.handles import Handle
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
 WHERE told IS NOT NULL AND told <> state AND (
    SELECT inbox FROM handle WHERE handle.job = job.seq
) NOT IN (SELECT value FROM json_each(?))
ORDER BY seq LIMIT ?
"""
_UNTOLD = SELECT_JOBS + _WHICH
_HANDLE = f"SELECT {_COLUMNS}, turn FROM handle WHERE job = ?"  # noqa: S608 - names of columns
_TELL = "UPDATE job SET told = ? WHERE registration = ? AND id = ? AND told IS NOT NULL"
_TURN = (
    "UPDATE handle SET turn = ? WHERE job = (SELECT seq FROM job WHERE registration = ? AND id = ?)"
)


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

    def untold(self, limit: int, besides: Collection[str] = ()) -> list[Untold]:
        """Jobs whose senders do not know their state, by arrival.

        Args:
            limit: at most so many.
            besides: inboxes whose jobs are left out.
        """
        with self._connection.read() as db:
            rows = db.execute(_UNTOLD, (json.dumps(list(besides)), limit)).fetchall()
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
