"""Which of rainbow's rows were here before, by all that they say.

Rainbow numbers its rows, and starts again from an older number when its database is put back to an
older copy: then a number stands for another job. A row is the same only when everything in it is.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from rainbow_agent.core.model import JobKey, Offer

#: Bytes of a digest: it tells rows with one number apart, of which there are a handful.
DIGEST_SIZE = 8

_HELD = """
SELECT j.seq, j.registration, j.accepted, o.job IS NOT NULL, o.digest FROM job AS j
LEFT JOIN offer AS o ON o.job = j.seq
WHERE j.id = ?2 AND (j.registration = ?1 OR j.offered_by = ?1)
"""
#: Of one from before digests: its text, its cluster, and the event that has its name in it.
_FIELDS = """
SELECT o.jobspec, o.cluster, e.cause FROM offer AS o
LEFT JOIN event AS e ON e.job = o.job AND e.task IS NULL AND e.was IS NULL
WHERE o.job = ? ORDER BY e.seq LIMIT 1
"""
_REMOVED = """
SELECT digest FROM removed
WHERE id = ?2 AND registration = (SELECT number FROM registration WHERE id = ?1)
"""


class Held(NamedTuple):
    """A job that came under a number."""

    seq: int
    registration: str
    accepted: float | None
    has_text: int  # 0: it was found in the workload manager, and no row of it came
    digest: bytes | None

    def is_row(self, db: sqlite3.Connection, offer: Offer) -> bool:
        """Whether a row of rainbow's is this job's."""
        if self.digest is not None:
            return self.digest == row_digest(offer)
        if not self.has_text:
            return True
        jobspec, cluster, cause = db.execute(_FIELDS, (self.seq,)).fetchone()
        named = cause is None or cause == received_as(offer.name)
        return bool(named and jobspec == offer.jobspec and cluster == offer.cluster)


def row_digest(offer: Offer) -> bytes:
    """A few bytes that stand for all that a row says."""
    said = json.dumps([offer.name, offer.cluster, offer.jobspec, offer.command])
    return hashlib.blake2b(said.encode(), digest_size=DIGEST_SIZE).digest()


def received_as(name: str) -> str:
    """The cause of the first event of a job's story, which keeps the name it came with."""
    return f"rainbow handed it over as {name!r}"


def held(db: sqlite3.Connection, registration: str, job_id: int) -> list[Held]:
    """The jobs that came under a number of a registration."""
    return [Held._make(row) for row in db.execute(_HELD, (registration, job_id))]


def removed(db: sqlite3.Connection, registration: str, job_id: int) -> set[bytes]:
    """Digests of rows that came under a number, whose jobs' details were removed."""
    return {row[0] for row in db.execute(_REMOVED, (registration, job_id))}


def removed_keys(db: sqlite3.Connection, keys: Iterable[JobKey]) -> set[JobKey]:
    """Which of these jobs were removed."""
    return {key for key in keys if db.execute(_REMOVED, (key.registration, key.id)).fetchone()}
