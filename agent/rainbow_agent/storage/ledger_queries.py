"""What the ledger answers: every query that changes nothing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from rainbow_agent.core.model import (
    JobKey,
    JobRow,
    Registration,
    StoryLine,
    TaskKey,
    TaskKind,
    TaskRow,
)
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState, TaskState
from rainbow_agent.storage.ledger_check import check_sum

_REGISTRATION = """
SELECT id, cluster, host, opened FROM registration
WHERE closed IS NULL ORDER BY turn DESC LIMIT 1
"""

_JOBSPEC = """
SELECT o.jobspec, o.crc FROM job AS j JOIN offer AS o ON o.job = j.seq
WHERE j.registration = ? AND j.id = ?
"""

_UNPLANNED = """
SELECT registration, id FROM job
WHERE state = 'received' AND NOT EXISTS (SELECT 1 FROM task WHERE task.job = job.seq)
ORDER BY received, seq
"""

_UNACCEPTED = """
SELECT id FROM job
WHERE coalesce(offered_by, registration) = ? AND accepted IS NULL AND (
    state = 'refused' OR (
        state = 'canceled' AND NOT EXISTS (SELECT 1 FROM task AS t WHERE t.job = job.seq)
    ) OR (
        EXISTS (SELECT 1 FROM task AS t WHERE t.job = job.seq)
        AND NOT EXISTS (
            SELECT 1 FROM replica AS r
            WHERE r.state = 'pending' AND r.in_group = 0 AND r.job = job.seq
        )
        AND NOT EXISTS (
            SELECT 1 FROM replica AS r
            WHERE r.state = 'submitting' AND r.in_group = 0 AND r.job = job.seq
        )
    )
)
ORDER BY id
"""

_HOLDERS = """
SELECT id, registration FROM job
WHERE id IN (SELECT value FROM json_each(?2)) AND (registration = ?1 OR offered_by = ?1)
"""
_NAMES = "SELECT name FROM job WHERE registration = ? AND id = ?"

_JOBS = "SELECT seq, registration, id, name, state, reason, received, accepted, finished FROM job"
_COUNT = "SELECT count(*) FROM job"
_WITH_KEY = " WHERE registration = ? AND id = ?"
_IN_STATES = " WHERE state IN (SELECT value FROM json_each(?))"
#: As the index `job_ended_badly` has it, or it is not used.
_BADLY = " WHERE state IN ('failed', 'refused', 'lost')"
_OLDEST_FIRST = " ORDER BY received, seq LIMIT ?"
_NEWEST_FIRST = " ORDER BY received DESC, seq DESC LIMIT ?"

_TASKS = """
SELECT
    t.job, j.registration, j.id, t.name, r.replica, t.position, r.state, t.depends_on,
    r.flux_id, r.exit_code, r.reason, r.submitted, r.started, r.finished, t.kind, p.name
FROM replica AS r
JOIN task AS t ON t.seq = r.task
JOIN job AS j ON j.seq = t.job
LEFT JOIN task AS p ON p.seq = t.parent
"""
_OF_STATES = " WHERE r.state IN (SELECT value FROM json_each(?)) AND r.in_group = 0"
_OF_JOBS = " WHERE t.job IN (SELECT value FROM json_each(?))"
_BY_PLAN = " ORDER BY t.job, t.position, r.replica"

_FIND = """
SELECT j.registration, j.id FROM job AS j JOIN registration AS r ON r.id = j.registration
WHERE j.id = ? ORDER BY r.turn DESC
"""

_STORY = """
SELECT e.at, t.name, e.replica, e.was, e.now, e.cause
FROM job AS j
JOIN event AS e ON e.job = j.seq
LEFT JOIN task AS t ON t.seq = e.task
WHERE j.registration = ? AND j.id = ?
ORDER BY e.seq
"""

_OPEN_STATES = json.dumps([state.value for state in JobState if state not in FINAL_JOB_STATES])


def current_registration(db: sqlite3.Connection) -> Registration | None:
    """The registration that was opened last and is not closed."""
    row = db.execute(_REGISTRATION).fetchone()
    return Registration(*row) if row else None


def jobspecs(db: sqlite3.Connection, keys: Sequence[JobKey]) -> dict[JobKey, str]:
    """The jobspec text of the jobs that are known.

    Raises:
        ValueError: one is not as it was written.
    """
    rows = ((key, db.execute(_JOBSPEC, _args(key)).fetchone()) for key in keys)
    return {key: _checked(key, *row) for key, row in rows if row}


def _checked(key: JobKey, jobspec: str, crc: int | None) -> str:
    if crc is not None and check_sum(jobspec) != crc:
        raise ValueError(f"the jobspec of job {key} is not the one that was received")
    return jobspec


def names(db: sqlite3.Connection, keys: Sequence[JobKey]) -> dict[JobKey, str]:
    """The names of the jobs that are known."""
    rows = ((key, db.execute(_NAMES, _args(key)).fetchone()) for key in keys)
    return {key: row[0] for key, row in rows if row}


def holders(db: sqlite3.Connection, registration: str, ids: Sequence[int]) -> dict[int, JobKey]:
    """The jobs that a registration's rows are, by rainbow's id."""
    found = db.execute(_HOLDERS, (registration, _json(ids)))
    return {job_id: JobKey(origin, job_id) for job_id, origin in found}


def registrations(db: sqlite3.Connection) -> set[str]:
    """Every registration that there ever was."""
    return {row[0] for row in db.execute("SELECT id FROM registration")}


def unplanned(db: sqlite3.Connection) -> list[JobKey]:
    """Jobs in state received without tasks, oldest first."""
    return [JobKey(*row) for row in db.execute(_UNPLANNED)]


def unaccepted(db: sqlite3.Connection, registration: str) -> list[int]:
    """Ids that are safe to accept and were not, in order."""
    return [row[0] for row in db.execute(_UNACCEPTED, (registration,))]


def counts(db: sqlite3.Connection) -> dict[JobState, int]:
    """Jobs per state; every state is there."""
    found = dict(db.execute("SELECT state, count(*) FROM job GROUP BY state"))
    return {state: found.get(state.value, 0) for state in JobState}


def open_jobs(db: sqlite3.Connection) -> int:
    """Jobs that are not in a final state."""
    (n,) = db.execute(_COUNT + _IN_STATES, (_OPEN_STATES,)).fetchone()
    return int(n)


class Chosen(NamedTuple):
    """Which jobs are meant."""

    states: Collection[JobState] = ()
    since: float | None = None
    name: str | None = None

    def where(self) -> tuple[str, list[Any]]:
        """The condition in SQL, and what stands for its question marks."""
        parts: list[tuple[str, Any]] = []
        if self.states:
            values = _json(state.value for state in self.states)
            parts.append(("state IN (SELECT value FROM json_each(?))", values))
        if self.since is not None:
            parts.append(("received >= ?", self.since))
        if self.name is not None:
            parts.append(("name GLOB ?", self.name))
        if not parts:
            return "", []
        return " WHERE " + " AND ".join(part for part, _ in parts), [value for _, value in parts]


def jobs(
    db: sqlite3.Connection,
    chosen: Chosen,
    *,
    limit: int | None,
    newest_first: bool,
    with_tasks: bool,
) -> list[JobRow]:
    """Jobs by time received, and their tasks with one more query."""
    where, values = chosen.where()
    query = _JOBS + where + (_NEWEST_FIRST if newest_first else _OLDEST_FIRST)
    rows = db.execute(query, (*values, -1 if limit is None else max(limit, 0))).fetchall()
    tasks = _tasks_of_jobs(db, [row[0] for row in rows]) if with_tasks else {}
    return [_job_row(row, tasks.get(row[0], ())) for row in rows]


def job(db: sqlite3.Connection, key: JobKey) -> JobRow | None:
    """One job with its tasks."""
    row = db.execute(_JOBS + _WITH_KEY, _args(key)).fetchone()
    return _job_row(row, _tasks_of_jobs(db, [row[0]]).get(row[0], ())) if row else None


def rows(db: sqlite3.Connection, keys: Sequence[JobKey]) -> list[JobRow]:
    """Jobs without their tasks."""
    found = (db.execute(_JOBS + _WITH_KEY, _args(key)).fetchone() for key in keys)
    return [_job_row(row, ()) for row in found if row]


def ended_badly(db: sqlite3.Connection, limit: int) -> list[JobRow]:
    """Jobs that ended badly, without tasks."""
    rows = db.execute(_JOBS + _BADLY + " ORDER BY finished DESC, seq DESC LIMIT ?", (limit,))
    return [_job_row(row, ()) for row in rows]


def tasks_in(db: sqlite3.Connection, states: Collection[TaskState]) -> list[TaskRow]:
    """Tasks of the top level in these states, by job and position."""
    found = db.execute(_TASKS + _OF_STATES + _BY_PLAN, (_json(state.value for state in states),))
    return [_task_row(row) for row in found]


def tasks_of(db: sqlite3.Connection, key: JobKey) -> list[TaskRow]:
    """All tasks of a job, by position and replica."""
    found = job(db, key)
    return list(found.tasks) if found else []


def find_jobs(db: sqlite3.Connection, job_id: int) -> list[JobKey]:
    """Jobs with this rainbow id, newest registration first."""
    return [JobKey(*row) for row in db.execute(_FIND, (job_id,))]


def story(db: sqlite3.Connection, key: JobKey) -> list[StoryLine]:
    """Everything that happened to a job, in the order in which it was learned."""
    return [StoryLine(*row) for row in db.execute(_STORY, _args(key))]


def note(db: sqlite3.Connection, name: str) -> Any:
    """A fact that was kept; None if it never was."""
    row = db.execute("SELECT value FROM note WHERE name = ?", (name,)).fetchone()
    return json.loads(row[0]) if row else None


def _args(key: JobKey) -> tuple[str, int]:
    return key.registration, key.id


def _json(values: Iterable[str] | Sequence[int]) -> str:
    return json.dumps(list(values))


def _tasks_of_jobs(db: sqlite3.Connection, seqs: Sequence[int]) -> dict[int, tuple[TaskRow, ...]]:
    found: dict[int, list[TaskRow]] = {}
    for row in db.execute(_TASKS + _OF_JOBS + _BY_PLAN, (_json(seqs),)):
        found.setdefault(row[0], []).append(_task_row(row))
    return {seq: tuple(tasks) for seq, tasks in found.items()}


def _task_row(row: Sequence[Any]) -> TaskRow:
    _, registration, job_id, name, replica, position, state, depends_on, *facts, kind, group = row
    key = TaskKey(JobKey(registration, job_id), name, replica)
    needs = () if depends_on == "[]" else tuple(json.loads(depends_on))
    place = {"kind": TaskKind(kind), "group": group}
    return TaskRow(key, position, TaskState(state), needs, *facts, **place)


def _job_row(row: Sequence[Any], tasks: tuple[TaskRow, ...]) -> JobRow:
    _, registration, job_id, name, state, reason, received, accepted, finished = row
    key = JobKey(registration, job_id)
    return JobRow(key, name, JobState(state), reason, received, accepted, finished, tasks)
