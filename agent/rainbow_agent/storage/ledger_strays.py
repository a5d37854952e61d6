"""Strays: tasks in the workload manager's journal whose jobs are not planned in the ledger.

They stand in a note while rainbow may still offer their jobs' rows. A row is such a job's only when
its digest is the one that the tasks have; tasks of older agents have none, and go by the number.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rainbow_agent.core.model import Offer, TaskKey
from rainbow_agent.storage.ledger_rebuild import STRAYS
from rainbow_agent.storage.ledger_registrations import read_note
from rainbow_agent.storage.ledger_rows_seen import row_digest

_HOST = "SELECT host FROM registration WHERE id = ?"


class Stray(NamedTuple):
    """A job that has strays."""

    registration: str
    row: str  # its row's digest, as hexadecimal digits; "" where its tasks have none

    def is_of(self, registration: str) -> bool:
        """Whether it came under a registration, or under one of its numbers that came twice."""
        return f"{self.registration}.".startswith(f"{registration}.")

    def is_row(self, registration: str, offer: Offer) -> bool:
        """Whether a row that a registration offers is this job's."""
        if not self.row:
            return self.registration == registration
        return self.is_of(registration) and self.row == row_digest(offer).hex()


def strays(db: sqlite3.Connection) -> Mapping[int, Sequence[Stray]]:
    """The jobs that have strays, by their numbers."""
    found: dict[int, dict[Stray, None]] = defaultdict(dict)
    for noted in read_note(db, STRAYS) or ():
        if key := TaskKey.from_attribute(noted):
            stray = Stray(key.job.registration, str(noted.get("row", "")))
            found[key.job.id][stray] = None
    return {number: [*jobs] for number, jobs in found.items()}


def of_earlier(
    db: sqlite3.Connection, registration: str, offer: Offer, those: Sequence[Stray]
) -> Stray | None:
    """The one of these jobs whose row this is, of another registration with the same rainbow."""
    (host,) = db.execute(_HOST, (registration,)).fetchone()
    for stray in those:
        if stray.row == row_digest(offer).hex() and not stray.is_of(registration):
            known = db.execute(_HOST, (stray.registration,)).fetchone()
            if known in (None, (host,)):
                return stray
    return None
