"""Jobs become tasks: plans, refusals, and jobs that only the workload manager knew."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Sequence
from typing import NamedTuple

from rainbow_agent.core.errors import InvalidTransition
from rainbow_agent.core.model import (
    WARNING,
    FoundJob,
    JobKey,
    PlannedJob,
    PlannedTask,
    Refusal,
    Registration,
    TaskChange,
    TaskKey,
)
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage.ledger_connection import LedgerPart
from rainbow_agent.storage.ledger_offers import offered_by, record_job
from rainbow_agent.storage.ledger_once import take_key
from rainbow_agent.storage.ledger_registrations import record_past
from rainbow_agent.storage.ledger_rows_seen import removed_keys
from rainbow_agent.storage.ledger_tasks import apply_changes

_EVENT = "INSERT INTO event (job, task, at, was, now, cause) VALUES (?, ?, ?, ?, ?, ?)"
_FIND = """
SELECT seq, state, EXISTS (SELECT 1 FROM task WHERE task.job = job.seq), received FROM job
WHERE registration = ? AND id = ?
"""
_NAME_IT = "UPDATE job SET name = ? WHERE seq = ?"
_NAME = "SELECT name FROM job WHERE registration = ? AND id = ?"
_TASK = """
INSERT INTO task (job, position, name, depends_on, kind, parent) VALUES (?, ?, ?, ?, ?, ?)
"""
_REPLICA = """
INSERT INTO replica (task, replica, job, in_group, state) VALUES (?, ?, ?, ?, 'pending')
"""
_REFUSE = "UPDATE job SET state = 'refused', reason = ?, finished = ? WHERE seq = ?"
_ROW_DIGEST = """
SELECT coalesce(o.digest, j.found_row) FROM job AS j LEFT JOIN offer AS o ON o.job = j.seq
WHERE j.registration = ? AND j.id = ?
"""
_WAITING = """
SELECT name, seq, NOT EXISTS (SELECT 1 FROM replica WHERE task = t.seq AND state <> 'pending')
FROM task AS t WHERE job = ?
"""
_PLACE = "UPDATE task SET position = ? WHERE seq = ?"
_FOUND = "UPDATE job SET found_row = ?, offered_by = ? WHERE seq = ?"
_UNPLANNED = """
SELECT registration, id FROM job
WHERE state = 'received' AND NOT EXISTS (SELECT 1 FROM task WHERE task.job = job.seq)
ORDER BY received, seq
"""


class LedgerPlans(LedgerPart):
    """What jobs are made of."""

    def unplanned(self) -> list[JobKey]:
        """Jobs in state received that have no tasks yet, oldest first."""
        with self._connection.read() as db:
            return [JobKey(*row) for row in db.execute(_UNPLANNED)]

    def names(self, keys: Sequence[JobKey]) -> dict[JobKey, str]:
        """The names of jobs; unknown ones are left out."""
        with self._connection.read() as db:
            rows = ((key, db.execute(_NAME, (key.registration, key.id)).fetchone()) for key in keys)
            return {key: row[0] for key, row in rows if row}

    def row_digests(self, keys: Sequence[JobKey]) -> dict[JobKey, str]:
        """What tells rainbow's rows apart, as hexadecimal digits, of jobs of which it is known."""
        with self._connection.read() as db:
            rows = (
                (key, db.execute(_ROW_DIGEST, (key.registration, key.id)).fetchone())
                for key in keys
            )
            return {key: row[0].hex() for key, row in rows if row and row[0]}

    def known(self, keys: Collection[JobKey]) -> set[JobKey]:
        """Which of these jobs the ledger has, or had before their details were removed."""
        here = set(self.names([*keys]))
        with self._connection.read() as db:
            return here | removed_keys(db, (key for key in keys if key not in here))

    def record_plans(
        self, planned: Sequence[PlannedJob], refused: Sequence[Refusal], at: float
    ) -> list[Refusal]:
        """Store the tasks of planned jobs (state pending); refuse the others, with reasons.

        A planned job with a key that another job of its cluster has is refused as well.

        What is planned or refused already stays as it is. A planned job with name "" keeps the
        name it was received with.

        Returns:
            The refusals of planned jobs, because of their keys.

        Raises:
            InvalidTransition: a job that was refused would be planned, or one with tasks refused.
            ValueError: a job is not in the ledger, or a plan has no tasks.
        """
        with self._connection.write() as db:
            again = [_record_plan(db, plan, at) for plan in planned]
            for refusal in refused:
                _record_refusal(db, refusal, at)
        return [refusal for refusal in again if refusal is not None]

    def record_inside(self, planned: PlannedJob, at: float) -> None:
        """Store what is inside groups that are pending, of a job that has none of it.

        It was found in the workload manager, which does not know what is inside a group.
        """
        with self._connection.write() as db:
            job, *_ = _find(db, planned.key)
            rows: dict[str, int] = {}
            waiting = set()
            for name, task, pending in db.execute(_WAITING, (job,)).fetchall():
                rows[name] = task
                waiting |= {name} if pending else set()
            for position, (task, group) in enumerate(planned.plan.every_task()):
                if task.name in rows:
                    db.execute(_PLACE, (position, rows[task.name]))
                elif group and group.name in waiting:
                    slot = _Slot(job, position, rows[group.name])
                    rows[task.name] = _record_task(db, slot, task, at)
                    waiting.add(task.name)

    def adopt(self, jobs: Sequence[FoundJob], host: str, at: float) -> None:
        """Store jobs that only the workload manager knew, their tasks as submitting.

        A crash before more is known of them must not have them submitted a second time. Jobs that
        are known are left as they are, but for those that were received and have no tasks: they
        get these. A registration that is not known is stored as one that is over.
        """
        with self._connection.write() as db:
            apply_changes(db, _adopted(db, jobs, host, at))


class _Slot(NamedTuple):
    """Where a task goes."""

    job: int
    position: int
    parent: int | None  # the row of its group


def _adopted(
    db: sqlite3.Connection, jobs: Sequence[FoundJob], host: str, at: float
) -> list[TaskChange]:
    """Store jobs; the changes that make their tasks `submitting`."""
    marks: list[TaskChange] = []
    cause = "found in the workload manager's journal; the ledger did not have it"
    for found in jobs:
        key = found.key
        registration = Registration(key.registration, found.cluster, host, found.received)
        record_past(db, registration, closed=at)
        job = record_job(db, key, found.name, found.received)
        if job is not None:
            db.execute(_EVENT, (job, None, found.received, None, JobState.RECEIVED.value, cause))
            db.execute(_FOUND, (_digest(found.row), offered_by(key.registration), job))
        else:
            job, state, has_tasks, _ = _find(db, key)
            if has_tasks or state is not JobState.RECEIVED:
                continue
        for position, task in enumerate(found.tasks):
            _record_task(db, _Slot(job, position, None), task, found.received)
            marks += [
                TaskChange(
                    TaskKey(key, task.name, replica), TaskState.SUBMITTING, found.received, cause
                )
                for replica in range(task.replicas)
            ]
        if found.once:
            take_key(db, key, found.once)
    return marks


def _digest(row: str) -> bytes | None:
    """The digest that a job in the workload manager has; None where it has none that is one."""
    try:
        return bytes.fromhex(row) or None
    except ValueError:
        return None


def _record_plan(db: sqlite3.Connection, planned: PlannedJob, at: float) -> Refusal | None:
    """Store the tasks of a job; one that is planned already is left as it is.

    Returns:
        Its refusal, where another job has its key.
    """
    seq, state, has_tasks, _ = _find(db, planned.key)
    if has_tasks:
        return None
    if state is not JobState.RECEIVED:
        raise _too_late(planned.key, state, "planned")
    _expect_tasks(planned)
    if planned.plan.once:
        holder = take_key(db, planned.key, planned.plan.once)
        if holder != planned.key:
            refusal = Refusal(planned.key, _sent_before(planned, holder))
            _record_refusal(db, refusal, at)
            return refusal
    if planned.plan.name:
        db.execute(_NAME_IT, (planned.plan.name, seq))
    rows: dict[str, int] = {}
    for position, (task, group) in enumerate(planned.plan.every_task()):
        parent = rows[group.name] if group else None
        rows[task.name] = _record_task(db, _Slot(seq, position, parent), task, at)
    for warning in planned.plan.warnings:
        db.execute(_EVENT, (seq, None, at, state.value, WARNING, warning))
    return None


def _sent_before(planned: PlannedJob, holder: JobKey) -> str:
    same = holder.registration == planned.key.registration
    job = str(holder.id) if same else str(holder)
    return (
        f"job {job} of this cluster came first with the key {planned.plan.once!r}"
        " (attributes.once), so this one does not run"
    )


def _record_refusal(db: sqlite3.Connection, refusal: Refusal, at: float) -> None:
    """Refuse a job; the reason that came first stays."""
    seq, state, has_tasks, received = _find(db, refusal.key)
    at = max(at, received)  # the clock may have been set back since
    if has_tasks:
        raise _too_late(refusal.key, state, JobState.REFUSED.value)
    if state is JobState.REFUSED:
        return
    db.execute(_REFUSE, (refusal.reason, at, seq))
    db.execute(_EVENT, (seq, None, at, state.value, JobState.REFUSED.value, refusal.reason))


def _record_task(db: sqlite3.Connection, slot: _Slot, task: PlannedTask, at: float) -> int:
    needs, inside = json.dumps(task.depends_on), slot.parent is not None
    place = (slot.job, slot.position, task.name, needs, task.kind.value, slot.parent)
    row = db.execute(_TASK, place).lastrowid
    assert row is not None  # noqa: S101 - a row was inserted
    db.executemany(_REPLICA, ((row, replica, slot.job, inside) for replica in range(task.replicas)))
    cause = "planned" if task.replicas == 1 else f"planned, {task.replicas} replicas"
    db.execute(_EVENT, (slot.job, row, at, None, TaskState.PENDING.value, cause))
    return row


def _find(db: sqlite3.Connection, key: JobKey) -> tuple[int, JobState, bool, float]:
    row = db.execute(_FIND, (key.registration, key.id)).fetchone()
    if row is None:
        raise ValueError(f"job {key} is not in the ledger: record_offers comes first")
    return row[0], JobState(row[1]), bool(row[2]), row[3]


def _expect_tasks(planned: PlannedJob) -> None:
    if not planned.plan.tasks or any(task.replicas < 1 for task, _ in planned.plan.every_task()):
        raise ValueError(f"job {planned.key}: a plan needs tasks, and a task replicas")


def _too_late(key: JobKey, state: JobState, wanted: str) -> InvalidTransition:
    return InvalidTransition(f"job {key}: it is {state.value} already and cannot be {wanted}")
