"""Keys of jobs that run once (`attributes.once`): which job of a cluster came first with each.

A key is taken in the same transaction in which its job gets tasks, so that a crash leaves both or
neither. It outlives the job's details, as a digest; the oldest are forgotten after MAX_KEYS.
"""

from __future__ import annotations

import hashlib
import sqlite3
from typing import Final

from rainbow_agent.core.model import JobKey

#: Keys that are remembered, of all clusters that the ledger has seen; about 60 bytes each.
MAX_KEYS: Final = 1_000_000
_DIGEST_SIZE: Final = 16

_REGISTRATION = "SELECT number, cluster FROM registration WHERE id = ?"
_TAKE = "INSERT INTO once (key, registration, id) VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING"
_HOLDER = """
SELECT r.id, o.id FROM once AS o JOIN registration AS r ON r.number = o.registration
WHERE o.key = ?
"""
_FORGET = "DELETE FROM once WHERE number <= (SELECT max(number) FROM once) - ?"


def take_key(db: sqlite3.Connection, job: JobKey, once: str) -> JobKey:
    """Give a key to a job unless another has it; the job that has it."""
    number, cluster = db.execute(_REGISTRATION, (job.registration,)).fetchone()
    said = f"{cluster}\0{once}".encode()
    key = hashlib.blake2b(said, digest_size=_DIGEST_SIZE).digest()
    if db.execute(_TAKE, (key, number, job.id)).rowcount:
        db.execute(_FORGET, (MAX_KEYS,))
        return job
    return JobKey(*db.execute(_HOLDER, (key,)).fetchone())
