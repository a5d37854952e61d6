"""Rows of the ledger as the values that everybody else knows."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from rainbow_agent.core.model import (
    JobKey,
    JobRow,
    StoryLine,
    TaskKey,
    TaskKind,
    TaskRow,
    WaitForNodes,
)
from rainbow_agent.core.states import JobState, TaskState

#: The columns that job_row() takes.
SELECT_JOBS: Final = (
    "SELECT seq, registration, id, name, state, reason, received, accepted, finished FROM job"
)
#: The columns that task_row() takes.
SELECT_TASKS: Final = """
SELECT
    t.job, j.registration, j.id, t.name, r.replica, t.position, r.state, t.depends_on,
    r.flux_id, r.exit_code, r.reason, r.submitted, r.started, r.finished, t.kind, p.name,
    d.waits_for, d.at
FROM replica AS r
JOIN task AS t ON t.seq = r.task
JOIN job AS j ON j.seq = t.job
LEFT JOIN task AS p ON p.seq = t.parent
LEFT JOIN denial AS d ON d.task = r.task AND d.replica = r.replica
    AND d.waits_for IS NOT NULL AND r.state = 'pending'
"""
TASKS_BY_PLAN: Final = " ORDER BY t.job, t.position, r.replica"
_OF_JOBS = " WHERE t.job IN (SELECT value FROM json_each(?))"
_STORY = """
SELECT e.at, t.name, e.replica, e.was, e.now, e.cause
FROM job AS j
JOIN event AS e ON e.job = j.seq
LEFT JOIN task AS t ON t.seq = e.task
WHERE j.registration = ? AND j.id = ?
ORDER BY e.seq
"""


def job_row(row: Sequence[Any], tasks: tuple[TaskRow, ...]) -> JobRow:
    """A job from a row of SELECT_JOBS."""
    _, registration, job_id, name, state, reason, received, accepted, finished = row
    key = JobKey(registration, job_id)
    return JobRow(key, name, JobState(state), reason, received, accepted, finished, tasks)


def task_row(row: Sequence[Any]) -> TaskRow:
    """A replica of a task from a row of SELECT_TASKS."""
    _, registration, job_id, name, replica, position, state, depends_on, *rest = row
    *facts, kind, group, nodes, since = rest
    key = TaskKey(JobKey(registration, job_id), name, replica)
    needs = () if depends_on == "[]" else tuple(json.loads(depends_on))
    waits = None if nodes is None else WaitForNodes(nodes, since)
    place: dict[str, Any] = {"kind": TaskKind(kind), "group": group, "waits": waits}
    return TaskRow(key, position, TaskState(state), needs, *facts, **place)


def tasks_of_jobs(db: sqlite3.Connection, seqs: Sequence[int]) -> dict[int, tuple[TaskRow, ...]]:
    """All tasks of jobs, by the row of the job."""
    found: dict[int, list[TaskRow]] = {}
    for row in db.execute(SELECT_TASKS + _OF_JOBS + TASKS_BY_PLAN, (json.dumps(list(seqs)),)):
        found.setdefault(row[0], []).append(task_row(row))
    return {seq: tuple(tasks) for seq, tasks in found.items()}


def story_of(db: sqlite3.Connection, key: JobKey) -> list[StoryLine]:
    """Everything that happened to a job, in the order in which it was learned."""
    return [StoryLine(*row) for row in db.execute(_STORY, (key.registration, key.id))]
