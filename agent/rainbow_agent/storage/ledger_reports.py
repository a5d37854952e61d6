"""What rainbow was told of jobs, and who asked for their end."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from rainbow_agent.core.model import Cancellation, JobKey, ReportLine
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState

_SEQ = "SELECT seq, state FROM job WHERE registration = ? AND id = ?"
_LAST_TOLD = "SELECT state FROM told WHERE job = ? ORDER BY report DESC LIMIT 1"
_LAST_REPORT = "SELECT seq, problem FROM report ORDER BY seq DESC LIMIT 1"
_AGAIN = "UPDATE report SET times = times + 1, last = ? WHERE seq = ?"
_REPORT = "INSERT INTO report (at, last, problem) VALUES (?, ?, ?)"
_TOLD = "INSERT INTO told (job, report, at, state) VALUES (?, ?, ?, ?)"

_UNTOLD = """
SELECT registration, id FROM job AS j
WHERE state IS NOT (
    SELECT t.state FROM told AS t WHERE t.job = j.seq ORDER BY t.report DESC LIMIT 1
)
ORDER BY seq
"""
_NEWEST = "SELECT coalesce(max(seq), 0) FROM event"
_MOVED = """
SELECT j.registration, j.id FROM (
    SELECT job, max(seq) AS last FROM event WHERE seq > ? AND seq <= ? AND task IS NULL GROUP BY job
) AS e JOIN job AS j ON j.seq = e.job
ORDER BY e.last
"""

# Reports that failed before the last one that told something of the job; while it is not told
# all, also those after.
_REPORTS = """
SELECT at, at, 1, state, NULL FROM told WHERE job = :job
UNION ALL
SELECT at, last, times, NULL, problem FROM report
WHERE problem IS NOT NULL AND last >= :received AND (
    :told < :moved OR at <= :told
)
ORDER BY 1
"""
_TOLD_LAST = "SELECT coalesce(max(at), 0) FROM told WHERE job = ?"
_MOVED_LAST = "SELECT coalesce(max(at), 0) FROM event WHERE job = ? AND task IS NULL"

_ASK = """
INSERT INTO cancellation (job, at, who, why) VALUES (?, ?, ?, ?) ON CONFLICT (job) DO NOTHING
"""
_CANCELLATIONS = """
SELECT j.registration, j.id, c.at, c.who, c.why, c.done
FROM cancellation AS c JOIN job AS j ON j.seq = c.job
"""
_OPEN = " WHERE c.done IS NULL ORDER BY c.at, c.job"
_OF_JOB = " WHERE j.registration = ? AND j.id = ?"
_END = """
UPDATE cancellation SET done = ?
WHERE done IS NULL AND job = (SELECT seq FROM job WHERE registration = ? AND id = ?)
"""
_CANCEL = """
UPDATE job SET state = 'canceled', reason = ?, finished = max(?, received)
WHERE registration = ? AND id = ? AND state = 'received'
AND NOT EXISTS (SELECT 1 FROM task WHERE task.job = job.seq)
"""
_EVENT = "INSERT INTO event (job, task, at, was, now, cause) VALUES (?, NULL, ?, ?, ?, ?)"


def record_report(
    db: sqlite3.Connection, states: Mapping[JobKey, JobState], at: float, problem: str | None
) -> None:
    """Keep a report, and what of it is news to rainbow."""
    fresh = _news(db, states) if problem is None else []
    last = db.execute(_LAST_REPORT).fetchone()
    if last and last[1] == problem and not fresh:
        db.execute(_AGAIN, (at, last[0]))
        return
    seq = db.execute(_REPORT, (at, at, problem)).lastrowid
    db.executemany(_TOLD, [(job, seq, at, state) for job, state in fresh])


def _news(db: sqlite3.Connection, states: Mapping[JobKey, JobState]) -> list[tuple[int, str]]:
    fresh = []
    for key, state in states.items():
        row = db.execute(_SEQ, (key.registration, key.id)).fetchone()
        if row is None:
            continue
        told = db.execute(_LAST_TOLD, (row[0],)).fetchone()
        if told is None or told[0] != state.value:
            fresh.append((row[0], state.value))
    return fresh


def untold(db: sqlite3.Connection) -> list[JobKey]:
    """Jobs in a state that rainbow was not told of, by arrival."""
    return [JobKey(*row) for row in db.execute(_UNTOLD)]


def moved(db: sqlite3.Connection, after: int) -> tuple[int, list[JobKey]]:
    """The number of the last event, and the jobs that something happened to after `after`."""
    (newest,) = db.execute(_NEWEST).fetchone()
    return newest, [JobKey(*row) for row in db.execute(_MOVED, (after, newest))]


def reports_of(db: sqlite3.Connection, key: JobKey) -> list[ReportLine]:
    """What rainbow was told of a job, and the reports that failed meanwhile."""
    row = db.execute(
        "SELECT seq, received FROM job WHERE registration = ? AND id = ?",
        (key.registration, key.id),
    ).fetchone()
    if row is None:
        return []
    (told,) = db.execute(_TOLD_LAST, (row[0],)).fetchone()
    (moved,) = db.execute(_MOVED_LAST, (row[0],)).fetchone()
    found = {"job": row[0], "received": row[1], "told": told, "moved": moved}
    return [ReportLine(*line) for line in db.execute(_REPORTS, found)]


def ask_cancel(db: sqlite3.Connection, asked: Cancellation) -> bool:
    """Note the wish; False when it was there before, or the job is over."""
    row = db.execute(_SEQ, (asked.key.registration, asked.key.id)).fetchone()
    if row is None or JobState(row[1]) in FINAL_JOB_STATES:
        return False
    return bool(db.execute(_ASK, (row[0], asked.at, asked.who, asked.why)).rowcount)


def cancellations(db: sqlite3.Connection) -> list[Cancellation]:
    """Those that are not carried out yet."""
    return [_cancellation(*row) for row in db.execute(_CANCELLATIONS + _OPEN)]


def cancellation_of(db: sqlite3.Connection, key: JobKey) -> Cancellation | None:
    """Who asked for the end of a job."""
    row = db.execute(_CANCELLATIONS + _OF_JOB, (key.registration, key.id)).fetchone()
    return _cancellation(*row) if row else None


def end_cancellation(db: sqlite3.Connection, key: JobKey, at: float) -> None:
    """The job is over."""
    db.execute(_END, (at, key.registration, key.id))


def cancel_unplanned(db: sqlite3.Connection, key: JobKey, reason: str, at: float) -> bool:
    """End a job that has no tasks yet."""
    args = (reason, at, key.registration, key.id)
    if not db.execute(_CANCEL, args).rowcount:
        return False
    (seq, _) = db.execute(_SEQ, (key.registration, key.id)).fetchone()
    received, canceled = JobState.RECEIVED.value, JobState.CANCELED.value
    db.execute(_EVENT, (seq, at, received, canceled, reason))
    return True


def _cancellation(registration: str, job: int, *rest: Any) -> Cancellation:
    return Cancellation(JobKey(registration, job), *rest)
