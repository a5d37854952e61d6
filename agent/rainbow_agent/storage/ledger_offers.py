"""Jobs as rainbow hands them over, and which of them it can let go."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import count

from rainbow_agent.core.model import WARNING, JobKey, Offer, Registration
from rainbow_agent.core.states import JobState
from rainbow_agent.storage.ledger_check import ACCEPTED, OFFERED_AGAIN, check_sum
from rainbow_agent.storage.ledger_connection import LedgerPart
from rainbow_agent.storage.ledger_registrations import expect_registration, record_past
from rainbow_agent.storage.ledger_rows_seen import (
    NO_ROW,
    Held,
    held,
    received_as,
    removed,
    row_digest,
)
from rainbow_agent.storage.ledger_strays import Stray, of_earlier, strays

_JOB = """
INSERT INTO job (registration, id, name, state, received) VALUES (?, ?, ?, 'received', ?)
ON CONFLICT (id, registration) DO NOTHING
"""
_OFFER = """
INSERT INTO offer (job, cluster, jobspec, crc, digest) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (job) DO NOTHING
"""
# Of the registrations of one cluster with one scheduler, those that had a row with this number.
_EARLIER = """
SELECT j.seq, j.registration, j.accepted, o.job IS NOT NULL, coalesce(o.digest, j.found_row),
    coalesce(j.offered_by, j.registration)
FROM job AS j LEFT JOIN offer AS o ON o.job = j.seq
JOIN registration AS r ON r.id = j.registration
JOIN registration AS mine ON mine.id = ?1
WHERE j.id = ?2 AND j.accepted IS NULL
    AND r.cluster = mine.cluster AND r.host = mine.host
    AND (o.job IS NOT NULL OR j.found_row IS NOT NULL)
ORDER BY r.turn DESC
"""
_REGISTRATION = "SELECT cluster, host FROM registration WHERE id = ?"
_LAST_CAUSE = "SELECT cause FROM event WHERE job = ? ORDER BY seq DESC LIMIT 1"
_OFFERED_BY = "UPDATE job SET offered_by = ? WHERE seq = ?"
_LET_GO = """
SELECT value FROM json_each(?2) AS row WHERE NOT EXISTS (
    SELECT 1 FROM job
    WHERE job.id = row.value AND accepted IS NULL AND coalesce(offered_by, registration) = ?1
)
"""
_GIVEN_AWAY = "rainbow gave its number to another job, and offers it no more; now of {}"
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
_AWAITED = """
SELECT registration, id FROM job AS j WHERE finished IS NULL AND accepted IS NULL
    AND NOT EXISTS (SELECT 1 FROM offer WHERE offer.job = j.seq)
"""
_KEPT = """
SELECT count(*) FROM job
WHERE coalesce(offered_by, registration) = ? AND accepted IS NULL
"""
_TO_ACCEPT = """
SELECT seq, state, received FROM job
WHERE coalesce(offered_by, registration) = ? AND id = ? AND accepted IS NULL
"""
_ACCEPT = "UPDATE job SET accepted = ? WHERE seq = ?"


class LedgerOffers(LedgerPart):
    """What rainbow offered, and which of it was accepted."""

    def record_offers(self, registration: str, offers: Sequence[Offer], at: float) -> list[JobKey]:
        """Store jobs as received; those already known are left as they are.

        Known is a row of which everything was here before: number, name, cluster, jobspec and
        command. A row that differs under a number which another job had is a new job: it is stored
        under a registration of its own (`ID.2`), and accepted under the one that offers it
        (docs/decisions/0076).

        Returns:
            The new ones, in the order given.

        Raises:
            ValueError: the registration was never opened.
        """
        with self._connection.write() as db:
            expect_registration(db, registration)
            others = strays(db)
            found = (_record(db, registration, offer, at, others) for offer in offers)
            return [key for key in found if key is not None]

    def known_rows(self, registration: str, offers: Sequence[Offer]) -> set[int]:
        """Of rows that a registration offers, the numbers of those that record_offers() knows."""
        with self._connection.read() as db:
            return {offer.id for offer in offers if _is_known(db, registration, offer)}

    def jobs_of_rows(self, registration: str, offers: Sequence[Offer]) -> dict[int, JobKey]:
        """Of rows that a registration offers, the jobs in the ledger that they are, by number."""
        with self._connection.read() as db:
            found = ((offer.id, _job_of(db, registration, offer)) for offer in offers)
            return {number: JobKey(job.registration, number) for number, job in found if job}

    def let_go(self, registration: str, ids: Sequence[int]) -> set[int]:
        """Of rows that a registration offers, those that were accepted before."""
        with self._connection.read() as db:
            asked = (registration, json.dumps(list(ids)))
            return {row[0] for row in db.execute(_LET_GO, asked)}

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

    def awaited(self) -> set[JobKey]:
        """Jobs that are not over and whose jobspec rainbow may still offer.

        They were found in the workload manager, and rainbow was not seen without their rows yet.
        """
        with self._connection.read() as db:
            return {JobKey(*row) for row in db.execute(_AWAITED)}

    def unaccepted(self, registration: str) -> list[int]:
        """Ids to accept next: not accepted yet, and safe to let go.

        Safe means refused, or no task of its top level is pending or submitting any more.
        """
        with self._connection.read() as db:
            return [row[0] for row in db.execute(_UNACCEPTED, (registration,))]

    def kept(self, registration: str) -> int:
        """How many jobs are here that rainbow keeps as well, and offers again."""
        with self._connection.read() as db:
            return int(db.execute(_KEPT, (registration,)).fetchone()[0])

    def mark_accepted(
        self, registration: str, ids: Sequence[int], at: float, cause: str = "told rainbow"
    ) -> None:
        """These jobs are accepted; again, or for unknown ones, changes nothing."""
        with self._connection.write() as db:
            for job_id in ids:
                row = db.execute(_TO_ACCEPT, (registration, job_id)).fetchone()
                if row:
                    seq, state, received = row
                    accepted = max(at, received)  # the clock may have been set back since
                    db.execute(_ACCEPT, (accepted, seq))
                    db.execute(_EVENT, (seq, accepted, state, ACCEPTED, cause))


def record_job(db: sqlite3.Connection, key: JobKey, name: str, received: float) -> int | None:
    """Store a job as received; its row, None where it is known."""
    stored = db.execute(_JOB, (key.registration, key.id, name, received))
    return stored.lastrowid if stored.rowcount else None


def _record(
    db: sqlite3.Connection,
    registration: str,
    offer: Offer,
    at: float,
    others: Mapping[int, Sequence[Stray]],
) -> JobKey | None:
    """Store one row; the job's key if it is a new one."""
    before, gone = held(db, registration, offer.id), removed(db, registration, offer.id)
    same = next((job for job in before if job.is_row(db, offer)), None)
    if same is not None:
        if not same.has_text:  # it was found in the workload manager
            _record_row(db, same.seq, offer)
        elif same.accepted is not None:
            _dropped(db, same.seq, at)
        if same.accepted is None and same.offered_by != registration:
            cause = f"rainbow offers its row again, now to {registration}"
            _offer_by(db, same.seq, registration, at, cause)
        others_held = [job for job in before if job is not same]
        _offer_elsewhere(db, registration, others_held, same.registration, at)
        return None
    if NO_ROW in gone or row_digest(offer) in gone:
        return None
    here = {job.registration for job in before}
    half = [stray for stray in others.get(offer.id, ()) if stray.registration not in here]
    reused = bool(before or gone or any(stray.is_of(registration) for stray in half))
    mine = next((stray for stray in half if stray.is_row(registration, offer)), None)
    if not (mine or reused) and _offered_again(db, registration, offer, at):
        return None
    if mine := mine or of_earlier(db, registration, offer, half):
        own = mine.registration
    else:
        own = _free(db, registration, offer.id, half) if reused else registration
    if own != registration:
        return _record_under(db, registration, own, offer, at)
    _offer_elsewhere(db, registration, before, own, at)
    return _record_new(db, JobKey(own, offer.id), offer, at)[0]


def _job_of(db: sqlite3.Connection, registration: str, offer: Offer) -> Held | None:
    """The job in the ledger that a row is."""
    before = held(db, registration, offer.id)
    same = next((job for job in before if job.is_row(db, offer)), None)
    return same or (None if before else _offered_earlier(db, registration, offer))


def _is_known(db: sqlite3.Connection, registration: str, offer: Offer) -> bool:
    before, gone = held(db, registration, offer.id), removed(db, registration, offer.id)
    if NO_ROW in gone or row_digest(offer) in gone or any(job.is_row(db, offer) for job in before):
        return True
    return not before and not gone and _offered_earlier(db, registration, offer) is not None


def _offered_earlier(db: sqlite3.Connection, registration: str, offer: Offer) -> Held | None:
    """The job of an earlier registration whose row this is, if it was not accepted."""
    rows = db.execute(_EARLIER, (registration, offer.id)).fetchall()
    return next((job for job in map(Held._make, rows) if job.is_row(db, offer)), None)


def _record_new(db: sqlite3.Connection, key: JobKey, offer: Offer, at: float) -> tuple[JobKey, int]:
    job = record_job(db, key, offer.name, at)
    assert job is not None  # noqa: S101 - it was looked for
    _record_row(db, job, offer)
    db.execute(_EVENT, (job, at, None, JobState.RECEIVED.value, received_as(offer.name)))
    return key, job


def _record_row(db: sqlite3.Connection, job: int, offer: Offer) -> None:
    crc = check_sum(offer.jobspec)
    db.execute(_OFFER, (job, offer.cluster, offer.jobspec, crc, row_digest(offer)))


def _free(db: sqlite3.Connection, registration: str, job_id: int, half: Sequence[Stray]) -> str:
    """The first registration under which no other job had a number (`ID.2`, `ID.3`).

    Strays without a digest go by the number: they are taken for the new job's.
    """
    taken = {stray.registration for stray in half if stray.row}
    return next(
        name
        for n in count(2)
        if (name := f"{registration}.{n}") not in taken
        and not (held(db, name, job_id) or removed(db, name, job_id))
    )


def _record_under(
    db: sqlite3.Connection, registration: str, own: str, offer: Offer, at: float
) -> JobKey:
    """Store a new row whose key has another registration than the one that offers it.

    The job that had the number and was not accepted yet is offered no more: it is not accepted
    by this number any longer.
    """
    mine = db.execute(_REGISTRATION, (registration,)).fetchone()
    record_past(db, Registration(own, mine[0], mine[1], at), closed=at)
    _offer_elsewhere(db, registration, held(db, registration, offer.id), own, at)
    key, seq = _record_new(db, JobKey(own, offer.id), offer, at)
    if f"{own}.".startswith(f"{registration}."):
        cause = f"another job had the number {offer.id} before; this one"
    else:
        cause = f"found in the workload manager as {own}/{offer.id}; it"
    cause += f" is offered to {registration}"
    _offer_by(db, seq, registration, at, cause)
    return key


def _offer_elsewhere(
    db: sqlite3.Connection, registration: str, others: Sequence[Held], own: str, at: float
) -> None:
    """Of the jobs that had the number of a row, only that which the row is can be accepted by it.

    Args:
        db: the ledger.
        registration: the one that offers the row.
        others: jobs that had the number; some are not accepted yet.
        own: the registration of the job that the row is.
        at: epoch seconds.
    """
    for job in others:
        if job.accepted is None and job.offered_by == registration:
            elsewhere = own if own != registration else job.registration
            _offer_by(db, job.seq, elsewhere, at, _GIVEN_AWAY.format(own))


def offered_by(registration: str) -> str | None:
    """Who offered a job that is stored under this registration; None: it did itself.

    Registrations of numbers that came twice are named for the one that offered them (`ID.2`).
    """
    first, dot, _ = registration.rpartition(".")
    return first if dot else None


def _offered_again(db: sqlite3.Connection, registration: str, offer: Offer, at: float) -> bool:
    """Whether this row is a job's that came under an earlier registration; it is noted then.

    The same in everything, of a job that was not accepted (docs/decisions/0030).
    """
    same = _offered_earlier(db, registration, offer)
    if same is None:
        return False
    before = f"{same.registration}/{offer.id}"
    cause = f"rainbow offers the row of {before} again, now to {registration}"
    _offer_by(db, same.seq, registration, at, cause)
    return True


def _offer_by(db: sqlite3.Connection, job: int, registration: str, at: float, cause: str) -> None:
    """From now on a job is accepted under another registration."""
    db.execute(_OFFERED_BY, (registration, job))
    (state,) = db.execute("SELECT state FROM job WHERE seq = ?", (job,)).fetchone()
    db.execute(_EVENT, (job, at, state, OFFERED_AGAIN, cause))


def _dropped(db: sqlite3.Connection, job: int, at: float) -> None:
    """Rainbow offers a row that was accepted before; said once in the job's story."""
    cause = "rainbow offered the very same row again; it is not run a second time"
    (last,) = db.execute(_LAST_CAUSE, (job,)).fetchone()
    if last != cause:
        (state,) = db.execute("SELECT state FROM job WHERE seq = ?", (job,)).fetchone()
        db.execute(_EVENT, (job, at, state, WARNING, cause))


def _checked(key: JobKey, jobspec: str, crc: int | None) -> str:
    if crc is not None and check_sum(jobspec) != crc:
        raise ValueError(f"the jobspec of job {key} is not the one that was received")
    return jobspec
