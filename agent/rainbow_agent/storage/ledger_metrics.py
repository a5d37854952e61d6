"""What the metrics want to know of the ledger, at a cost that does not grow with its age.

A connection of its own, opened for one look (a scrape, a probe) by the thread that looks.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from rainbow_agent.core.errors import Fatal, LedgerError
from rainbow_agent.core.states import FINAL_JOB_STATES, FINAL_TASK_STATES, JobState, TaskState
from rainbow_agent.storage.ledger_connection import LedgerConnection, LedgerPart


@dataclass(frozen=True)
class Ended:
    """A job that is over. Times are epoch seconds."""

    state: JobState
    received: float
    submitted: float | None  # its first task; None: none ever was
    started: float | None  # likewise
    finished: float | None  # its last task; None: it never ran


@dataclass(frozen=True)
class Movements:
    """What became of jobs since a look before."""

    upto: int  # the number of the last event that was looked at
    received: int = 0
    ended: tuple[Ended, ...] = ()


@dataclass(frozen=True)
class Backlog:
    """What waits, and where."""

    unplanned: int = 0  # jobs without tasks yet
    unaccepted: int = 0  # jobs that are not accepted in rainbow yet
    tasks: Mapping[TaskState, int] = field(default_factory=dict)  # those that are not over


#: Events read in one look; the rest is read by the next, so that one look stays short.
MAX_EVENTS: Final = 200_000
#: Seconds to wait for who holds the ledger; a probe does not wait longer for its answer.
METRICS_BUSY_S: Final = 2.0

_NEWEST = "SELECT coalesce(max(seq), 0) FROM event"
_UP_TO = "SELECT max(seq) FROM (SELECT seq FROM event WHERE seq > ? ORDER BY seq LIMIT ?)"
_MOVED = """
SELECT job, was, now FROM event
WHERE seq > ? AND seq <= ? AND task IS NULL ORDER BY seq
"""
_ENDED = """
SELECT j.state, j.received, min(r.submitted), min(r.started), j.finished
FROM job AS j LEFT JOIN replica AS r ON r.job = j.seq
WHERE j.seq IN (SELECT value FROM json_each(?))
GROUP BY j.seq
"""
_TASKS = """
SELECT state, count(*) FROM replica
WHERE state IN (SELECT value FROM json_each(?)) GROUP BY state
"""
_UNPLANNED = """
SELECT count(*) FROM job
WHERE state = 'received' AND NOT EXISTS (SELECT 1 FROM task WHERE task.job = job.seq)
"""
_UNACCEPTED = """
SELECT count(*) FROM job
WHERE accepted IS NULL AND registration IN (SELECT id FROM registration WHERE closed IS NULL)
"""
_OPEN_TASKS = json.dumps([s.value for s in TaskState if s not in FINAL_TASK_STATES])
_FINAL: Final = frozenset(state.value for state in FINAL_JOB_STATES)


class LedgerMetrics(LedgerPart):
    """One look at the ledger; close it afterwards."""

    @classmethod
    def open(cls, path: Path) -> LedgerMetrics:
        """A connection that can write, because that it can is one of the questions.

        Raises:
            LedgerDamaged: it cannot be opened.
        """
        return cls(LedgerConnection.beside(path, METRICS_BUSY_S))

    def newest(self) -> int:
        """The number of the last event."""
        with self._connection.read() as db:
            return int(db.execute(_NEWEST).fetchone()[0])

    def moved_since(self, event: int) -> Movements:
        """What became of jobs after event number `event`, up to MAX_EVENTS events."""
        with self._connection.read() as db:
            (upto,) = db.execute(_UP_TO, (event, MAX_EVENTS)).fetchone()
            if upto is None:
                return Movements(event)
            rows = db.execute(_MOVED, (event, upto)).fetchall()
            over = [job for job, _, now in rows if now in _FINAL]
            return Movements(
                upto,
                received=sum(was is None for _, was, _ in rows),
                ended=tuple(_ended(db, over)),
            )

    def backlog(self) -> Backlog:
        """What waits, and where."""
        with self._connection.read() as db:
            return Backlog(
                unplanned=int(db.execute(_UNPLANNED).fetchone()[0]),
                unaccepted=int(db.execute(_UNACCEPTED).fetchone()[0]),
                tasks={TaskState(state): n for state, n in db.execute(_TASKS, (_OPEN_TASKS,))},
            )

    def problem(self) -> str:
        """Why the ledger cannot be written; "" when it can. Nothing is written."""
        try:
            self._connection.try_to_write()
        except (Fatal, LedgerError) as exc:
            return str(exc)
        return ""


def _ended(db: sqlite3.Connection, jobs: Sequence[int]) -> list[Ended]:
    if not jobs:
        return []
    found = db.execute(_ENDED, (json.dumps(jobs),))
    return [Ended(JobState(state), *times) for state, *times in found]
