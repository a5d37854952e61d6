"""Tasks: what there is of them, changes of them, and what follows for their jobs.

A batch of changes is read task by task, decided in memory (ledger_tasks_rules.py), and written at
the end with a few statements of many rows each.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rainbow_agent.core.errors import InvalidTransition
from rainbow_agent.core.group_events import left_behind
from rainbow_agent.core.model import JobChange, JobKey, TaskChange, TaskKey, TaskKind, TaskRow
from rainbow_agent.core.states import (
    FINAL_JOB_STATES,
    FINAL_TASK_STATES,
    JOB_MOVES,
    JobState,
    TaskState,
    job_state_of,
)
from rainbow_agent.storage.ledger_connection import LedgerPart
from rainbow_agent.storage.ledger_denials import deny, is_denied, waits_for_denied
from rainbow_agent.storage.ledger_rows import (
    SELECT_TASKS,
    TASKS_BY_PLAN,
    story_of,
    task_row,
    tasks_of_jobs,
)
from rainbow_agent.storage.ledger_tasks_rules import Progress, after, contradicts, has_started

#: How many lines of a job's story an InvalidTransition quotes.
_QUOTED_LINES = 5

_FIND = """
SELECT
    j.seq, j.state, j.reason, j.finished, j.started, j.unsatisfiable, j.received,
    t.seq, t.kind, r.in_group,
    r.state, r.flux_id, r.exit_code, r.reason, r.submitted, r.started, r.finished
FROM job AS j
JOIN task AS t ON t.job = j.seq
JOIN replica AS r ON r.task = t.seq
WHERE j.registration = ? AND j.id = ? AND t.name = ? AND r.replica = ?
"""
_SAVE = """
UPDATE replica
SET state = ?, flux_id = ?, exit_code = ?, reason = ?, submitted = ?, started = ?, finished = ?
WHERE task = ? AND replica = ?
"""
_SAVE_JOB = """
UPDATE job SET state = ?, reason = ?, finished = ?, started = ?, unsatisfiable = ? WHERE seq = ?
"""
_EVENT = "INSERT INTO event (job, task, replica, at, was, now, cause) VALUES (?, ?, ?, ?, ?, ?, ?)"

# Whether a job has tasks in a state is one step into an index, however many there are.
_PRESENT = """
SELECT s.value, j.value FROM json_each(?) AS s CROSS JOIN json_each(?) AS j
WHERE EXISTS (
    SELECT 1 FROM replica AS r WHERE r.state = s.value AND r.in_group = 0 AND r.job = j.value
)
"""
_FINISHED = """
SELECT max(r.finished), min(r.started) FROM task AS t JOIN replica AS r ON r.task = t.seq
WHERE t.job = ? AND r.in_group = 0
"""
_REASON = """
SELECT r.reason FROM task AS t JOIN replica AS r ON r.task = t.seq
WHERE t.job = ? AND r.in_group = 0 AND r.reason IS NOT NULL AND r.state <> 'completed'
ORDER BY r.state <> ?, r.finished, t.position, r.replica
LIMIT 1
"""

_STILL_OPEN = """
WITH RECURSIVE inside (seq) AS (
    SELECT seq FROM task WHERE parent = ?
    UNION ALL
    SELECT t.seq FROM task AS t JOIN inside AS i ON t.parent = i.seq
)
SELECT t.name, r.replica FROM inside AS i
JOIN task AS t ON t.seq = i.seq
JOIN replica AS r ON r.task = i.seq
WHERE r.state IN ('pending', 'submitting', 'submitted', 'running')
ORDER BY t.position, r.replica
"""

_SEQ = "SELECT seq FROM job WHERE registration = ? AND id = ?"
_OF_STATES = " WHERE r.state IN (SELECT value FROM json_each(?)) AND r.in_group = 0"
_TASK_STATES = json.dumps([state.value for state in TaskState])
#: Jobs that owe a reason.
_UNHAPPY = FINAL_JOB_STATES - {JobState.COMPLETED}

_Event = tuple[int, int | None, int | None, float, str, str, str]


class _JobProgress(NamedTuple):
    """What tasks can change about their job."""

    state: JobState
    reason: str | None
    finished: float | None
    started: bool
    unsatisfiable: bool


@dataclass(slots=True)
class _ChangedJob:
    """A job that a batch has news for."""

    seq: int
    key: JobKey
    stored: _JobProgress
    received: float
    started: bool
    unsatisfiable: bool
    last: TaskChange | None = None  # the cause of its move, if it moves
    at: float = 0.0  # of the newest change: a job does not end before its tasks

    def touch(self, change: TaskChange, facts: Progress) -> None:
        """Take in what its task learned."""
        self.last, self.at = change, max(self.at, change.at)
        self.started = self.started or has_started(facts.state, facts.started)
        self.unsatisfiable = self.unsatisfiable or change.unsatisfiable


@dataclass(slots=True)
class _ChangedReplica:
    """A replica that a batch has news of: its row, what stands there, and what is known now."""

    job: _ChangedJob
    row: int
    replica: int
    kind: TaskKind
    in_group: bool  # the job's state does not follow from it
    stored: Progress
    facts: Progress


class LedgerTasks(LedgerPart):
    """Every replica of every task."""

    def tasks_in(self, states: Collection[TaskState]) -> list[TaskRow]:
        """Tasks in these states, by job and position; those of the top level, not in groups."""
        asked = json.dumps([state.value for state in states])
        with self._connection.read() as db:
            return [
                task_row(row)
                for row in db.execute(SELECT_TASKS + _OF_STATES + TASKS_BY_PLAN, (asked,))
            ]

    def tasks_of(self, key: JobKey) -> list[TaskRow]:
        """All tasks of a job, those in groups too, by position and replica."""
        with self._connection.read() as db:
            row = db.execute(_SEQ, (key.registration, key.id)).fetchone()
            return list(tasks_of_jobs(db, row).get(row[0], ())) if row else []

    def apply(self, changes: Sequence[TaskChange]) -> list[JobChange]:
        """Write changes of tasks, in order, and what follows for their jobs.

        A stale change (the same state again, or one that the task has passed) moves no state, but
        fills what was empty: flux_id, exit_code, submitted, started, finished, reason. A task
        that is not in the ledger is skipped, and so is a change of another flux_id than the task
        has: a copy that somebody made of our job. A task goes back to pending from submitted or
        running only by a change with `again` and its flux_id; what was known of that job is
        forgotten then, but for the story. So does a task that was denied, and one that was
        canceled because it depends on such a task; later news of those Flux jobs is skipped. When
        a group is over, what is still open in it is over as well.

        Returns:
            The jobs whose state moved.

        Raises:
            InvalidTransition: a final state would be left for another; nothing is written.
        """
        if not changes:
            return []
        with self._connection.write() as db:
            return apply_changes(db, changes)


def apply_changes(db: sqlite3.Connection, changes: Sequence[TaskChange]) -> list[JobChange]:
    """Tasks.apply, in a transaction that is open."""
    batch = _Batch(db)
    for change in changes:
        batch.take(change)
    batch.save_tasks()
    return batch.save_jobs()


class _Batch:
    """The changes of one transaction on their way into the ledger."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._tasks: dict[TaskKey, _ChangedReplica | None] = {}  # None: not in the ledger
        self._jobs: dict[int, _ChangedJob] = {}
        self._events: list[_Event] = []

    def take(self, change: TaskChange) -> None:
        """Note one piece of news; that of unknown tasks is skipped."""
        task = self._tasks.get(change.key) or self._load(change.key)
        if task is None:
            return
        was = task.facts
        if was.flux_id is not None and change.flux_id not in (None, was.flux_id):
            return  # of another job with this key: a copy that somebody made of ours
        if self._denies(task, change):
            return
        if contradicts(was.state, change.state):
            if task.in_group:
                return  # its group's end came first, with what is known of it
            raise _invalid(self._db, change, was.state)
        task.facts = facts = after(was, change)
        if facts == was and not change.unsatisfiable:
            return
        if not task.in_group:
            task.job.touch(change, facts)
        if facts.state is not was.state:
            moved = (was.state.value, facts.state.value)
            place = (task.job.seq, task.row, task.replica)
            self._events.append((*place, change.at, *moved, change.cause))
            if task.kind is TaskKind.GROUP and facts.state in FINAL_TASK_STATES:
                self._close(task, change)

    def _denies(self, task: _ChangedReplica, change: TaskChange) -> bool:
        """Whether a change is about a Flux job that counts no longer; its task is pending then."""
        flux_id, was = change.flux_id, task.facts
        new = flux_id is not None and flux_id != was.flux_id
        if new and is_denied(self._db, task.row, task.replica, flux_id):
            return True
        if not (change.denied or (change.dependency and waits_for_denied(self._db, task.row))):
            return False
        if was.state in FINAL_TASK_STATES:
            return True
        if flux_id is not None:
            deny(self._db, task.row, task.replica, change)
        task.facts = Progress(TaskState.PENDING)
        task.job.touch(change, task.facts)
        if was.state is not TaskState.PENDING:
            moved = (was.state.value, TaskState.PENDING.value)
            place = (task.job.seq, task.row, task.replica)
            self._events.append((*place, change.at, *moved, change.cause))
        return True

    def _close(self, group: _ChangedReplica, change: TaskChange) -> None:
        """A group is over, and with it whatever was in it; what was not reported is not known."""
        for name, replica in self._db.execute(_STILL_OPEN, (group.row,)).fetchall():
            key = TaskKey(change.key.job, name, replica)
            task = self._tasks.get(key) or self._load(key)
            if task is None or task.facts.state in FINAL_TASK_STATES:
                continue
            self.take(left_behind(change, key, task.facts.state))

    def save_tasks(self) -> None:
        """Write the tasks that changed, and their events."""
        rows = [
            (task.facts.state.value, *task.facts[1:], task.row, task.replica)
            for task in self._tasks.values()
            if task and task.facts != task.stored
        ]
        self._db.executemany(_SAVE, rows)
        self._save_events()

    def save_jobs(self) -> list[JobChange]:
        """Bring the jobs in line with their tasks, once those are saved; the jobs that moved."""
        touched = {seq: job for seq, job in self._jobs.items() if job.last}
        present = self._present(touched)
        rows, moved = [], []
        for seq, job in touched.items():
            was, now = job.stored, self._follow(job, present[seq])
            if now != was:
                rows.append((now.state.value, *now[1:], seq))
            if now.state is not was.state and job.last:
                states = (was.state.value, now.state.value)
                # A job ended for its own reason, which need not be that of the last task to end.
                cause = now.reason if now.state in _UNHAPPY and now.reason else job.last.cause
                self._events.append((seq, None, None, job.at, *states, cause))
                ran = self._ran(seq) if now.state is JobState.FAILED else None
                moved.append(JobChange(job.key, was.state, now.state, now.reason, ran))
        self._db.executemany(_SAVE_JOB, rows)
        self._save_events()
        return moved

    def _load(self, key: TaskKey) -> _ChangedReplica | None:
        args = (key.job.registration, key.job.id, key.task, key.replica)
        row = self._db.execute(_FIND, args).fetchone()
        task = self._tasks[key] = self._known(key, *row) if row else None
        return task

    def _known(self, key: TaskKey, seq: int, *row: Any) -> _ChangedReplica:
        job = self._jobs.get(seq)
        if job is None:
            facts = _JobProgress(JobState(row[0]), row[1], row[2], bool(row[3]), bool(row[4]))
            flags = (facts.started, facts.unsatisfiable)
            job = self._jobs[seq] = _ChangedJob(seq, key.job, facts, row[5], *flags)
        stored = Progress(TaskState(row[9]), *row[10:])
        return _ChangedReplica(
            job, row[6], key.replica, TaskKind(row[7]), bool(row[8]), stored, stored
        )

    def _present(self, jobs: Iterable[int]) -> dict[int, dict[TaskState, int]]:
        """Which states the tasks of jobs are in; the numbers say no more than that."""
        found: dict[int, dict[TaskState, int]] = {}
        for state, seq in self._db.execute(_PRESENT, (_TASK_STATES, json.dumps([*jobs]))):
            found.setdefault(seq, {})[TaskState(state)] = 1
        return found

    def _follow(self, job: _ChangedJob, present: Mapping[TaskState, int]) -> _JobProgress:
        """What a job is now. Once it is final, only a missing reason is still filled."""
        now = job.stored
        if now.state not in FINAL_JOB_STATES:
            now = self._derive(job, present)
        if now.reason is None and now.state in _UNHAPPY:
            worst = TaskState.LOST if now.state is JobState.LOST else TaskState.FAILED
            row = self._db.execute(_REASON, (job.seq, worst.value)).fetchone()
            now = now._replace(reason=row[0] if row else None)
        return now

    def _derive(self, job: _ChangedJob, present: Mapping[TaskState, int]) -> _JobProgress:
        was, flags = job.stored, (job.started, job.unsatisfiable)
        state = job_state_of(present, started=job.started, unsatisfiable=job.unsatisfiable)
        if state is not was.state and (was.state, state) not in JOB_MOVES:
            raise InvalidTransition(f"job {job.key}: {was.state.value} cannot become {state.value}")
        finished = None
        if state in FINAL_JOB_STATES:
            (finished, _) = self._db.execute(_FINISHED, (job.seq,)).fetchone()
            # The clock may have been set back since the job came.
            finished = None if finished is None else max(finished, job.received)
        return _JobProgress(state, was.reason, finished, *flags)

    def _ran(self, job: int) -> float | None:
        """Seconds from the first start of a task to the job's end; None if nothing started."""
        finished, started = self._db.execute(_FINISHED, (job,)).fetchone()
        return None if started is None else max(finished - started, 0.0)

    def _save_events(self) -> None:
        self._db.executemany(_EVENT, self._events)
        self._events.clear()


def _invalid(db: sqlite3.Connection, change: TaskChange, was: TaskState) -> InvalidTransition:
    tail = "; ".join(
        f"{line.at:.3f} {line.task or 'job'} {line.was} -> {line.now}: {line.cause}"
        for line in story_of(db, change.key.job)[-_QUOTED_LINES:]
    )
    return InvalidTransition(
        f"task {change.key}: {was.value} is final and cannot become {change.state.value} "
        f"({change.cause}). The job's story ends: {tail}"
    )
