"""The end of old jobs: their details are removed some at a time, what identifies them stays.

A job can go when it is over, is accepted in rainbow, its last state was reported, and no
cancellation of it is open. In its place stays its number with a digest of its row: rainbow or the
workload manager may offer it again when they are put back to an older copy (ledger_rows_seen.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rainbow_agent.storage.ledger_connection import LedgerConnection, LedgerPart
from rainbow_agent.storage.ledger_registrations import put_note, read_note
from rainbow_agent.storage.ledger_rows_seen import digest_of

#: Jobs that one transaction removes: some 10 ms, in which no other connection can write.
PORTION: Final = 100
#: Reports that one transaction removes.
MAX_REPORTS: Final = 1000
#: Pages of the file that are given back to the file system at once.
MAX_PAGES: Final = 1000
#: Removed jobs that are remembered: some 20 bytes each.
MAX_REMEMBERED: Final = 5_000_000
#: Seconds to wait for another writer; what could not be removed now is removed later.
HISTORY_BUSY_S: Final = 2.0
#: The note with the numbers of it: how many were removed, when the last, how many are remembered.
NOTE: Final = "history"

_EXCESS = "SELECT count(*) FROM job WHERE finished IS NOT NULL AND accepted IS NOT NULL"
# The last job and the job of the last event stay: numbers that were given are not given again.
_REMOVABLE = """
SELECT j.seq FROM job AS j JOIN registration AS r ON r.id = j.registration
WHERE j.finished IS NOT NULL AND j.accepted IS NOT NULL
    AND (j.state IS j.reported OR r.closed IS NOT NULL)
    AND (j.told IS NULL OR j.told = j.state)
    AND NOT EXISTS (SELECT 1 FROM cancellation AS c WHERE c.job = j.seq AND c.done IS NULL)
    AND j.seq <> (SELECT max(seq) FROM job)
    AND j.seq IS NOT (SELECT job FROM event ORDER BY seq DESC LIMIT 1)
    AND j.finished < ?
ORDER BY j.finished, j.seq LIMIT ?
"""
# Under the registration that it came with, and under the one that offered it later.
_REMEMBER = """
INSERT INTO removed (registration, id, digest)
SELECT r.number, j.id, ?2 FROM job AS j
JOIN registration AS r ON r.id IN (j.registration, j.offered_by) WHERE j.seq = ?1
ON CONFLICT DO NOTHING
"""
_REMOVE: Final = (
    "DELETE FROM event WHERE job = ?",
    "DELETE FROM denial WHERE task IN (SELECT seq FROM task WHERE job = ?)",
    "DELETE FROM replica WHERE task IN (SELECT seq FROM task WHERE job = ?)",
    "DELETE FROM task WHERE job = ?",
    "DELETE FROM told WHERE job = ?",
    "DELETE FROM request WHERE job = ?",
    "DELETE FROM handle WHERE job = ?",
    "DELETE FROM cancellation WHERE job = ?",
    "DELETE FROM offer WHERE job = ?",
    "DELETE FROM job WHERE seq = ?",
)
# What was reported before the oldest job that is here came, and tells nothing of any of these.
_REMOVE_REPORTS = """
DELETE FROM report WHERE seq IN (
    SELECT seq FROM (SELECT seq, last FROM report ORDER BY seq LIMIT ?)
    WHERE last < (SELECT min(received) FROM job) AND seq <> (SELECT max(seq) FROM report)
)
"""
_FORGET = """
DELETE FROM removed WHERE (registration, id, digest) IN (
    SELECT registration, id, digest FROM removed ORDER BY registration, id LIMIT ?
)
"""


@dataclass(frozen=True)
class Keep:
    """What of the jobs that are over is kept; None: all."""

    jobs: int | None  # so many, the last to end
    seconds: float | None  # those that ended within so many seconds


class LedgerHistory(LedgerPart):
    """A connection of its own, for the thread that removes. It checks no references, row by row."""

    @classmethod
    def open(cls, path: Path) -> LedgerHistory:
        """A connection to a ledger that is there.

        Raises:
            LedgerDamaged: it cannot be opened.
        """
        return cls(LedgerConnection.beside(path, HISTORY_BUSY_S))

    def remove(self, keep: Keep, now: float) -> int:
        """Remove the details of some jobs that need not be kept, the first to end first.

        Args:
            keep: what is kept.
            now: epoch seconds.

        Returns:
            How many were removed; PORTION when there may be more.

        Raises:
            LedgerBlocked: it cannot be written now; nothing was removed.
        """
        jobs = self._removable(keep, now)
        if not jobs:
            return 0
        with self._connection.write() as db:
            before = read_note(db, NOTE) or {}
            remembered = int(before.get("remembered", 0))
            for job in jobs:
                remembered += db.execute(_REMEMBER, (job, digest_of(db, job))).rowcount
            for statement in _REMOVE:
                db.executemany(statement, [(job,) for job in jobs])
            db.execute(_REMOVE_REPORTS, (MAX_REPORTS,))
            if remembered > MAX_REMEMBERED:
                remembered -= db.execute(_FORGET, (remembered - MAX_REMEMBERED,)).rowcount
            total = int(before.get("removed", 0)) + len(jobs)
            put_note(db, NOTE, {"removed": total, "at": now, "remembered": remembered})
        return len(jobs)

    def shrink(self, before: Callable[[int], None]) -> None:
        """Give some of the pages that are free now back to the file system.

        Args:
            before: called with the bytes that the file may have from then on.
        """
        self._connection.shrink(MAX_PAGES, before)

    def _removable(self, keep: Keep, now: float) -> list[int]:
        with self._connection.read() as db:
            chosen: list[int] = []
            if keep.seconds is not None:
                old = db.execute(_REMOVABLE, (now - keep.seconds, PORTION))
                chosen = [row[0] for row in old]
            if keep.jobs is not None and len(chosen) < PORTION:
                excess = db.execute(_EXCESS).fetchone()[0] - keep.jobs
                if excess > len(chosen):
                    first = db.execute(_REMOVABLE, (float("inf"), min(excess, PORTION)))
                    chosen = [row[0] for row in first]
        return chosen
