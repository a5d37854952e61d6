"""Which of rainbow's rows were here before, by all that they say.

Rainbow numbers its rows, and starts again from an older number when its database is put back to an
older copy: then a number stands for another job. A row is the same only when everything in it is.
"""

from __future__ import annotations

import ast
import hashlib
import json
import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from rainbow_agent.core.model import JobKey, Offer

#: Bytes of a digest: it tells rows with one number apart, of which there are a handful.
DIGEST_SIZE = 8
#: In the place of a digest: no row of the job ever came.
NO_ROW = b""

_HELD = """
SELECT j.seq, j.registration, j.accepted, o.job IS NOT NULL, coalesce(o.digest, j.found_row),
    coalesce(j.offered_by, j.registration)
FROM job AS j LEFT JOIN offer AS o ON o.job = j.seq
WHERE j.id = ?2 AND (
    j.registration = ?1 OR j.offered_by = ?1 OR j.registration GLOB ?1 || '.*'
)
"""
#: Of one from before digests: its text, its cluster, and the event that has its name in it.
_FIELDS = """
SELECT o.jobspec, o.cluster, e.cause FROM offer AS o
LEFT JOIN event AS e ON e.job = o.job AND e.task IS NULL AND e.was IS NULL
WHERE o.job = ? ORDER BY e.seq LIMIT 1
"""
_ROW = """
SELECT coalesce(o.digest, j.found_row), j.id, j.name, o.jobspec, o.cluster, (
    SELECT cause FROM event WHERE job = j.seq AND task IS NULL ORDER BY seq LIMIT 1
) FROM job AS j LEFT JOIN offer AS o ON o.job = j.seq WHERE j.seq = ?
"""
_REMOVED = """
SELECT digest FROM removed
WHERE registration = (SELECT number FROM registration WHERE id = ?1) AND id = ?2
"""


class Held(NamedTuple):
    """A job that came under a number."""

    seq: int
    registration: str
    accepted: float | None
    has_text: int  # 0: it was found in the workload manager, and no row of it came
    digest: bytes | None
    offered_by: str  # the registration that has the row

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
    return f"from rainbow, as {name!r}"


def digest_of(db: sqlite3.Connection, job: int) -> bytes:
    """The digest of a job's row; NO_ROW where none came."""
    digest, job_id, name, jobspec, cluster, cause = db.execute(_ROW, (job,)).fetchone()
    if digest is not None:
        return bytes(digest)
    if jobspec is None:
        return NO_ROW
    return row_digest(Offer(job_id, _name_in(cause, name), cluster, jobspec))


def _name_in(cause: str | None, name: str) -> str:
    """The name that a job came with, from the first event of its story."""
    try:
        said = ast.literal_eval((cause or "").removeprefix(received_as("")[:-2]))
    except (ValueError, SyntaxError):
        return name
    return said if isinstance(said, str) else name


def held(db: sqlite3.Connection, registration: str, job_id: int) -> list[Held]:
    """The jobs that came under a number of a registration."""
    return [Held._make(row) for row in db.execute(_HELD, (registration, job_id))]


def removed(db: sqlite3.Connection, registration: str, job_id: int) -> set[bytes]:
    """Digests of rows that came under a number, whose jobs' details were removed."""
    return {row[0] for row in db.execute(_REMOVED, (registration, job_id))}


def removed_keys(db: sqlite3.Connection, keys: Iterable[JobKey]) -> set[JobKey]:
    """Which of these jobs were removed."""
    return {key for key in keys if db.execute(_REMOVED, (key.registration, key.id)).fetchone()}
