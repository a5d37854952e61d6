"""Jobs as rainbow hands them over, and which of them it can let go."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from rainbow_agent.core.model import JobKey, Offer
from rainbow_agent.core.states import JobState
from rainbow_agent.storage.ledger_check import ACCEPTED, OFFERED_AGAIN, check_sum
from rainbow_agent.storage.ledger_connection import LedgerPart
from rainbow_agent.storage.ledger_registrations import expect_registration

_JOB = """
INSERT INTO job (registration, id, name, state, received) VALUES (?, ?, ?, 'received', ?)
ON CONFLICT (id, registration) DO NOTHING
"""
_OFFER = """
INSERT INTO offer (job, cluster, jobspec, crc) VALUES (?, ?, ?, ?) ON CONFLICT (job) DO NOTHING
"""
# Of the registrations of one cluster with one scheduler, the last that had such a row.
_SAME = """
SELECT j.seq, j.state, j.registration FROM job AS j
JOIN offer AS o ON o.job = j.seq
JOIN registration AS r ON r.id = j.registration
JOIN registration AS mine ON mine.id = ?
WHERE j.id = ? AND j.accepted IS NULL AND o.jobspec = ?
    AND r.cluster = mine.cluster AND r.host = mine.host
ORDER BY r.turn DESC LIMIT 1
"""
_OFFERED_BY = "UPDATE job SET offered_by = ? WHERE seq = ?"
_KNOWN = "SELECT seq FROM job WHERE id = ?2 AND (registration = ?1 OR offered_by = ?1)"
_HOLDERS = """
SELECT id, registration FROM job
WHERE id IN (SELECT value FROM json_each(?2)) AND (registration = ?1 OR offered_by = ?1)
"""
_EVENT = "INSERT INTO event (job, task, at, was, now, cause) VALUES (?, NULL, ?, ?, ?, ?)"
_JOBSPEC = """
SELECT o.jobspec, o.crc FROM job AS j JOIN offer AS o ON o.job = j.seq
WHERE j.registration = ? AND j.id = ?
"""
_UNACCEPTED = """
SELECT id FROM job
WHERE coalesce(offered_by, registration) = ? AND accepted IS NULL AND (
    state = 'refused' OR (
        state = 'canceled' AND NOT EXISTS (SELECT 1 FROM task AS t WHERE t.job = job.seq)
    ) OR (
        EXISTS (SELECT 1 FROM task AS t WHERE t.job = job.seq)
        AND NOT EXISTS (
            SELECT 1 FROM replica AS r
            WHERE r.state = 'pending' AND r.in_group = 0 AND r.job = job.seq
        )
        AND NOT EXISTS (
            SELECT 1 FROM replica AS r
            WHERE r.state = 'submitting' AND r.in_group = 0 AND r.job = job.seq
        )
    )
)
ORDER BY id
"""
_TO_ACCEPT = """
SELECT seq, state, received FROM job
WHERE coalesce(offered_by, registration) = ? AND id = ? AND accepted IS NULL
"""
_ACCEPT = "UPDATE job SET accepted = ? WHERE seq = ?"


class Offers(LedgerPart):
    """What rainbow offered, and what it was told of that."""

    def record_offers(self, registration: str, offers: Sequence[Offer], at: float) -> list[JobKey]:
        """Store jobs as received; those already known are left as they are.

        Returns:
            The new ones, in the order given.

        Raises:
            ValueError: the registration was never opened.
        """
        new = []
        with self._connection.write() as db:
            expect_registration(db, registration)
            for offer in offers:
                known = db.execute(_KNOWN, (registration, offer.id)).fetchone()
                if known:
                    # A job that was found in the workload manager has no text yet.
                    db.execute(_OFFER, _offer_row(known[0], offer))
                elif not _offered_again(db, registration, offer, at):
                    job = record_job(db, JobKey(registration, offer.id), offer.name, at)
                    db.execute(_OFFER, _offer_row(job, offer))
                    cause = f"rainbow handed it over as {offer.name!r}"
                    db.execute(_EVENT, (job, at, None, JobState.RECEIVED.value, cause))
                    new.append(JobKey(registration, offer.id))
        return new

    def holders(self, registration: str, ids: Sequence[int]) -> dict[int, JobKey]:
        """The jobs that a registration's rows are, by rainbow's id; unknown ids are left out."""
        with self._connection.read() as db:
            found = db.execute(_HOLDERS, (registration, json.dumps(list(ids))))
            return {job_id: JobKey(origin, job_id) for job_id, origin in found}

    def jobspecs(self, keys: Sequence[JobKey]) -> dict[JobKey, str]:
        """The jobspec text of jobs, as received; unknown ones are left out.

        Raises:
            LedgerCorrupt: one is not as it was written.
        """
        with self._connection.read() as db:
            rows = (
                (key, db.execute(_JOBSPEC, (key.registration, key.id)).fetchone()) for key in keys
            )
            return {key: _checked(key, *row) for key, row in rows if row}

    def unaccepted(self, registration: str) -> list[int]:
        """Ids to accept next: rainbow was not told of them yet, and they are safe to let go.

        Safe means refused, or no task of its top level is pending or submitting any more.
        """
        with self._connection.read() as db:
            return [row[0] for row in db.execute(_UNACCEPTED, (registration,))]

    def mark_accepted(self, registration: str, ids: Sequence[int], at: float) -> None:
        """Rainbow was told of these jobs; again, or of unknown ones, is no change."""
        with self._connection.write() as db:
            for job_id in ids:
                row = db.execute(_TO_ACCEPT, (registration, job_id)).fetchone()
                if row:
                    seq, state, received = row
                    accepted = max(at, received)  # the clock may have been set back since
                    db.execute(_ACCEPT, (accepted, seq))
                    db.execute(_EVENT, (seq, accepted, state, ACCEPTED, "rainbow was told"))


def record_job(db: sqlite3.Connection, key: JobKey, name: str, received: float) -> int | None:
    """Store a job as received; its row, None where it is known."""
    stored = db.execute(_JOB, (key.registration, key.id, name, received))
    return stored.lastrowid if stored.rowcount else None


def _offer_row(job: int | None, offer: Offer) -> tuple[int | None, str, str, int]:
    return job, offer.cluster, offer.jobspec, check_sum(offer.jobspec)


def _offered_again(db: sqlite3.Connection, registration: str, offer: Offer, at: float) -> bool:
    """Whether this row is a job's that came under an earlier registration; it is noted then.

    The same id with the same text, of a job that rainbow was not told of (decision 0030).
    """
    row = db.execute(_SAME, (registration, offer.id, offer.jobspec)).fetchone()
    if row is None:
        return False
    seq, state, before = row
    db.execute(_OFFERED_BY, (registration, seq))
    cause = f"rainbow offers the row of {before}/{offer.id} again, now to {registration}"
    db.execute(_EVENT, (seq, at, state, OFFERED_AGAIN, cause))
    return True


def _checked(key: JobKey, jobspec: str, crc: int | None) -> str:
    if crc is not None and check_sum(jobspec) != crc:
        raise ValueError(f"the jobspec of job {key} is not the one that was received")
    return jobspec
