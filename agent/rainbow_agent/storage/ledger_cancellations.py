"""Who asked for the end of which job, and what came of it."""

from __future__ import annotations

from typing import Any

from rainbow_agent.core.model import Cancellation, JobKey
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.storage.ledger_connection import LedgerPart

_SEQ = "SELECT seq, state FROM job WHERE registration = ? AND id = ?"
_ASK = """
INSERT INTO cancellation (job, at, who, why) VALUES (?, ?, ?, ?) ON CONFLICT (job) DO NOTHING
"""
_CANCELLATIONS = """
SELECT j.registration, j.id, c.at, c.who, c.why, c.done
FROM cancellation AS c JOIN job AS j ON j.seq = c.job
"""
_OPEN = " WHERE c.done IS NULL ORDER BY c.at, c.job"
_OF_JOB = " WHERE j.registration = ? AND j.id = ?"
_END = """
UPDATE cancellation SET done = ?
WHERE done IS NULL AND job = (SELECT seq FROM job WHERE registration = ? AND id = ?)
"""
_CANCEL = """
UPDATE job SET state = 'canceled', reason = ?, finished = max(?, received)
WHERE registration = ? AND id = ? AND state = 'received'
AND NOT EXISTS (SELECT 1 FROM task WHERE task.job = job.seq)
"""
_EVENT = "INSERT INTO event (job, task, at, was, now, cause) VALUES (?, NULL, ?, ?, ?, ?)"


class LedgerCancellations(LedgerPart):
    """Requests to end jobs."""

    def ask_cancel(self, cancellation: Cancellation) -> bool:
        """Keep a request. False when the same was asked before, or the job is over."""
        asked = cancellation
        with self._connection.write() as db:
            row = db.execute(_SEQ, (asked.key.registration, asked.key.id)).fetchone()
            if row is None or JobState(row[1]) in FINAL_JOB_STATES:
                return False
            return bool(db.execute(_ASK, (row[0], asked.at, asked.who, asked.why)).rowcount)

    def cancellations(self) -> list[Cancellation]:
        """Requests that are not carried out yet, oldest first."""
        with self._connection.read() as db:
            return [_cancellation(*row) for row in db.execute(_CANCELLATIONS + _OPEN)]

    def cancellation_of(self, key: JobKey) -> Cancellation | None:
        """Who asked for the end of a job, if anybody did."""
        with self._connection.read() as db:
            row = db.execute(_CANCELLATIONS + _OF_JOB, (key.registration, key.id)).fetchone()
        return _cancellation(*row) if row else None

    def end_cancellation(self, key: JobKey, at: float) -> None:
        """The job is over."""
        with self._connection.write() as db:
            db.execute(_END, (at, key.registration, key.id))

    def cancel_unplanned(self, key: JobKey, reason: str, at: float) -> bool:
        """End a job that has no tasks yet; False when it has some, or is over."""
        with self._connection.write() as db:
            if not db.execute(_CANCEL, (reason, at, key.registration, key.id)).rowcount:
                return False
            (seq, _) = db.execute(_SEQ, (key.registration, key.id)).fetchone()
            received, canceled = JobState.RECEIVED.value, JobState.CANCELED.value
            db.execute(_EVENT, (seq, at, received, canceled, reason))
        return True


def _cancellation(registration: str, job: int, *rest: Any) -> Cancellation:
    return Cancellation(JobKey(registration, job), *rest)
