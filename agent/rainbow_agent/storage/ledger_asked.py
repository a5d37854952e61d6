"""What the senders of jobs ask: kept until it is looked into, each at most once."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

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
        """The job's sender is told its state, also if they were told before."""
        with self._connection.write() as db:
            db.execute(_AGAIN, (key.registration, key.id))
