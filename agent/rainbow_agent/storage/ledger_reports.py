"""What was reported to rainbow of jobs."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from rainbow_agent.core.model import JobKey, ReportLine
from rainbow_agent.core.states import JobState
from rainbow_agent.storage.ledger_connection import LedgerPart

_RECEIVED = "SELECT seq, received FROM job WHERE registration = ? AND id = ?"
_JOB = "SELECT seq, reported FROM job WHERE registration = ? AND id = ?"
_LAST_REPORT = "SELECT seq, problem FROM report ORDER BY seq DESC LIMIT 1"
_AGAIN = "UPDATE report SET times = times + 1, last = ? WHERE seq = ?"
_REPORT = "INSERT INTO report (at, last, problem) VALUES (?, ?, ?)"
_REPORTED = "INSERT INTO told (job, report, at, state) VALUES (?, ?, ?, ?)"

_UNREPORTED = "SELECT registration, id FROM job WHERE state IS NOT reported ORDER BY seq"
_REPORTED_AS = "UPDATE job SET reported = ? WHERE seq = ?"
_NEWEST = "SELECT coalesce(max(seq), 0) FROM event"
_MOVED = """
SELECT j.registration, j.id FROM (
    SELECT job, max(seq) AS last FROM event WHERE seq > ? AND seq <= ? AND task IS NULL GROUP BY job
) AS e JOIN job AS j ON j.seq = e.job
ORDER BY e.last
"""

# Reports that failed before the last one that said something of the job; while not all of it
# is reported, also those after.
_REPORTS_OF = """
SELECT at, at, 1, state, NULL FROM told WHERE job = :job
UNION ALL
SELECT at, last, times, NULL, problem FROM report
WHERE problem IS NOT NULL AND last >= :received AND (
    :reported < :moved OR at <= :reported
)
ORDER BY 1
"""
_REPORTED_LAST = "SELECT coalesce(max(at), 0) FROM told WHERE job = ?"
_MOVED_LAST = "SELECT coalesce(max(at), 0) FROM event WHERE job = ? AND task IS NULL"


class LedgerReports(LedgerPart):
    """Which state of which job rainbow knows."""

    def record_report(
        self, states: Mapping[JobKey, JobState], at: float, problem: str | None = None
    ) -> None:
        """A report was sent.

        Args:
            states: the states of jobs in it; only what is new to rainbow is kept.
            at: epoch seconds.
            problem: why rainbow did not take it; then nothing was reported.
        """
        with self._connection.write() as db:
            fresh = _fresh(db, states) if problem is None else []
            last = db.execute(_LAST_REPORT).fetchone()
            if last and last[1] == problem and not fresh:
                db.execute(_AGAIN, (at, last[0]))
                return
            seq = db.execute(_REPORT, (at, at, problem)).lastrowid
            db.executemany(_REPORTED, [(job, seq, at, state) for job, state in fresh])
            db.executemany(_REPORTED_AS, [(state, job) for job, state in fresh])

    def unreported(self) -> list[JobKey]:
        """Jobs in a state that was not reported to rainbow, by arrival."""
        with self._connection.read() as db:
            return [JobKey(*row) for row in db.execute(_UNREPORTED)]

    def moved(self, after: int) -> tuple[int, list[JobKey]]:
        """What happened to jobs after event number `after`.

        Returns:
            The number of the last event, and the jobs that something happened to, in the order of
            the last thing.
        """
        with self._connection.read() as db:
            (newest,) = db.execute(_NEWEST).fetchone()
            return newest, [JobKey(*row) for row in db.execute(_MOVED, (after, newest))]

    def reports_of(self, key: JobKey) -> list[ReportLine]:
        """What was reported of a job, and the reports that failed meanwhile, by time."""
        with self._connection.read() as db:
            row = db.execute(_RECEIVED, (key.registration, key.id)).fetchone()
            if row is None:
                return []
            (reported,) = db.execute(_REPORTED_LAST, (row[0],)).fetchone()
            (moved,) = db.execute(_MOVED_LAST, (row[0],)).fetchone()
            asked = {"job": row[0], "received": row[1], "reported": reported, "moved": moved}
            return [ReportLine(*line) for line in db.execute(_REPORTS_OF, asked)]


def _fresh(db: sqlite3.Connection, states: Mapping[JobKey, JobState]) -> list[tuple[int, str]]:
    """What of these states rainbow does not know."""
    fresh = []
    for key, state in states.items():
        row = db.execute(_JOB, (key.registration, key.id)).fetchone()
        if row is not None and row[1] != state.value:
            fresh.append((row[0], state.value))
    return fresh
