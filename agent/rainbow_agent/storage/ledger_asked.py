"""What the senders of jobs ask: kept until it is looked into, each at most once."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rainbow_agent.core.handles import Handle
from rainbow_agent.core.model import JobKey
from rainbow_agent.storage.ledger_connection import LedgerPart

#: What is kept at most: anybody with the cluster's token can ask about handles that there are not.
MAX_ASKED: Final = 1000

_KEEP = """
INSERT INTO asked (handle, inbox, body, proof, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
"""
_BOUND = "DELETE FROM asked WHERE seq <= (SELECT max(seq) FROM asked) - ?"
_ASKED = "SELECT handle, inbox, body, proof, at, seq FROM asked ORDER BY seq"
_OF = """
SELECT j.registration, j.id, h.id, h.inbox, h.token, h.verify, h.seal, h.nonce, h.keep
FROM handle AS h JOIN job AS j ON j.seq = h.job WHERE h.id = ?
"""
_COUNT = "UPDATE handle SET counter = ? WHERE id = ? AND counter < ?"
_SEQ = "SELECT seq FROM job WHERE registration = ? AND id = ?"
_REQUEST = "INSERT INTO request (job, counter, content) VALUES (?, ?, ?)"
_BOUND_REQUESTS = "DELETE FROM request WHERE seq <= (SELECT max(seq) FROM request) - ?"
_REQUESTS = """
SELECT q.seq, q.counter, q.content, j.registration, j.id,
    h.id, h.inbox, h.token, h.verify, h.seal, h.nonce, h.keep
FROM request AS q JOIN job AS j ON j.seq = q.job JOIN handle AS h ON h.job = q.job
ORDER BY q.seq LIMIT ?
"""
_AGAIN = """
UPDATE job SET told = '' WHERE registration = ? AND id = ? AND told IS NOT NULL
"""


@dataclass(frozen=True)
class Asked:
    """Something that somebody asks about a job, not verified yet."""

    handle: str
    inbox: str
    body: bytes
    proof: bytes
    at: float  # epoch seconds: when it came
    seq: int = 0


@dataclass(frozen=True)
class Request:
    """What the sender of a job asked, and waits for an answer to."""

    seq: int
    counter: int
    content: Mapping[str, Any]
    job: JobKey
    handle: Handle


class LedgerAsked(LedgerPart):
    """What senders ask, and about which jobs they may."""

    def keep_asked(self, asked: Sequence[Asked]) -> None:
        """Keep these; of more than MAX_ASKED the oldest are dropped."""
        with self._connection.write() as db:
            rows = [(a.handle, a.inbox, a.body, a.proof, a.at) for a in asked]
            db.executemany(_KEEP, rows)
            db.execute(_BOUND, (MAX_ASKED,))

    def asked(self) -> list[Asked]:
        """What is kept, in the order in which it came."""
        with self._connection.read() as db:
            return [Asked(*row) for row in db.execute(_ASKED)]

    def drop_asked(self, seqs: Collection[int]) -> None:
        """These are done with."""
        with self._connection.write() as db:
            db.executemany("DELETE FROM asked WHERE seq = ?", [(seq,) for seq in seqs])

    def job_of_handle(self, handle: str) -> tuple[JobKey, Handle] | None:
        """The job that has this handle; None where there is none."""
        with self._connection.read() as db:
            row = db.execute(_OF, (handle,)).fetchone()
        return (JobKey(*row[:2]), Handle(*row[2:])) if row else None

    def count_asked(self, handle: str, counter: int) -> bool:
        """Whether this counter is above all that its sender used before; it is used then."""
        with self._connection.write() as db:
            return bool(db.execute(_COUNT, (counter, handle, counter)).rowcount)

    def tell_again(self, key: JobKey) -> None:
        """Send the job's state to its sender, even if that was done before."""
        with self._connection.write() as db:
            db.execute(_AGAIN, (key.registration, key.id))

    def add_request(self, key: JobKey, counter: int, content: Mapping[str, Any]) -> None:
        """This is to be answered; of more than MAX_ASKED requests the oldest are not."""
        with self._connection.write() as db:
            (job,) = db.execute(_SEQ, (key.registration, key.id)).fetchone()
            db.execute(_REQUEST, (job, counter, json.dumps(dict(content))))
            db.execute(_BOUND_REQUESTS, (MAX_ASKED,))

    def requests(self, limit: int) -> list[Request]:
        """What is to be answered, oldest first, at most so many."""
        with self._connection.read() as db:
            return [
                Request(seq, counter, json.loads(content), JobKey(*rest[:2]), Handle(*rest[2:]))
                for seq, counter, content, *rest in db.execute(_REQUESTS, (limit,))
            ]

    def end_request(self, seq: int) -> None:
        """It is answered, or cannot be."""
        with self._connection.write() as db:
            db.execute("DELETE FROM request WHERE seq = ?", (seq,))
