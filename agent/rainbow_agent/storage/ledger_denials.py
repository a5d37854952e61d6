"""Tasks that the scheduler denied, for too few nodes were up (docs/decisions/0110)."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from rainbow_agent.core.model import JobKey, TaskChange, TaskKey
from rainbow_agent.storage.ledger_connection import LedgerPart

_DENY: Final = """
INSERT INTO denial (task, replica, flux_id, at, own, cause) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (task, replica, flux_id) DO NOTHING
"""
_WAITS_NO_MORE: Final = "UPDATE denial SET waits_for = NULL WHERE task = ? AND replica = ?"
_IS_DENIED: Final = "SELECT 1 FROM denial WHERE task = ? AND replica = ? AND flux_id = ?"
# Near or far.
_WAITS_FOR_DENIED: Final = """
WITH RECURSIVE above (seq) AS (
    SELECT u.seq FROM task AS t, json_each(t.depends_on) AS d
    JOIN task AS u ON u.job = t.job AND u.name = d.value WHERE t.seq = ?
    UNION
    SELECT u.seq FROM above AS a JOIN task AS t ON t.seq = a.seq, json_each(t.depends_on) AS d
    JOIN task AS u ON u.job = t.job AND u.name = d.value
)
SELECT 1 FROM above AS a
JOIN denial AS n ON n.task = a.seq
JOIN replica AS r ON r.task = n.task AND r.replica = n.replica
WHERE r.state IN ('pending', 'submitting', 'submitted', 'running')
LIMIT 1
"""
_OPEN: Final = """
SELECT j.registration, j.id, t.name, d.replica, max(d.flux_id), d.cause, d.waits_for,
    d.fits IS NOT NULL OR d.waits_for IS NOT NULL,
    (
        SELECT b.fits FROM denial AS b
        WHERE b.task = d.task AND b.replica = d.replica AND b.own = 1 AND b.flux_id < d.flux_id
        ORDER BY b.flux_id DESC LIMIT 1
    ) IS 1
FROM denial AS d
JOIN replica AS r ON r.task = d.task AND r.replica = d.replica AND r.state = 'pending'
JOIN task AS t ON t.seq = d.task
JOIN job AS j ON j.seq = t.job
WHERE d.own = 1
GROUP BY d.task, d.replica
ORDER BY t.job, t.position, d.replica
"""
_LOOKED: Final = """
UPDATE denial SET fits = ?, waits_for = ?
WHERE flux_id = ? AND replica = ? AND task = (
    SELECT t.seq FROM task AS t JOIN job AS j ON j.seq = t.job
    WHERE j.registration = ? AND j.id = ? AND t.name = ?
)
"""


@dataclass(frozen=True)
class Denial:
    """The scheduler denied a task, which is pending again."""

    key: TaskKey
    flux_id: int  # of the job that was denied
    cause: str  # in the scheduler's words
    nodes: str | None  # that it waits for; None: not looked at yet, or for none
    looked: bool  # whether the nodes were looked at since
    in_a_row: bool  # when the denial before it came, the task fitted on the nodes that were up


class LedgerDenials(LedgerPart):
    """What was denied, and what is waited for."""

    def denials(self) -> list[Denial]:
        """The newest of each task that is pending since, by job and the plan's order."""
        with self._connection.read() as db:
            return [
                Denial(TaskKey(JobKey(*row[:2]), *row[2:4]), *row[4:7], *map(bool, row[7:]))
                for row in db.execute(_OPEN)
            ]

    def put_wait(self, denial: Denial, nodes: str | None) -> None:
        """Note which nodes a denied task waits for; None: for none, it is to be submitted."""
        key = denial.key
        fits = None if nodes is not None else denial.nodes is None
        place = (denial.flux_id, key.replica, key.job.registration, key.job.id, key.task)
        with self._connection.write() as db:
            db.execute(_LOOKED, (fits, nodes, *place))


def deny(db: sqlite3.Connection, task: int, replica: int, change: TaskChange) -> None:
    """Note that a Flux job of a replica counts no longer; `task` is its row."""
    db.execute(_WAITS_NO_MORE, (task, replica))
    row = (task, replica, change.flux_id, change.at, change.denied, change.cause)
    db.execute(_DENY, row)


def is_denied(db: sqlite3.Connection, task: int, replica: int, flux_id: int | None) -> bool:
    """Whether a Flux job of a replica counts no longer."""
    return db.execute(_IS_DENIED, (task, replica, flux_id)).fetchone() is not None


def waits_for_denied(db: sqlite3.Connection, task: int) -> bool:
    """Whether a task depends on one, near or far, that was denied and is not over."""
    return db.execute(_WAITS_FOR_DENIED, (task,)).fetchone() is not None
