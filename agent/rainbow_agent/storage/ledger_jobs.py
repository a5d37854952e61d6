"""What the ledger is told of registrations, jobs and plans."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

from rainbow_agent.core.errors import InvalidTransition
from rainbow_agent.core.model import (
    WARNING,
    FoundJob,
    JobKey,
    Offer,
    PlannedJob,
    PlannedTask,
    Refusal,
    Registration,
    TaskChange,
    TaskKey,
)
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage.ledger_check import ACCEPTED, OFFERED_AGAIN, check_sum

_OPEN = """
INSERT INTO registration (id, cluster, host, opened, turn)
VALUES (?, ?, ?, ?, (SELECT coalesce(max(turn), 0) + 1 FROM registration))
ON CONFLICT (id) DO UPDATE SET
    cluster = excluded.cluster, host = excluded.host, closed = NULL, turn = excluded.turn
"""
# One that is learned of after its end is never the current one.
_PAST = """
INSERT INTO registration (id, cluster, host, opened, closed, turn)
VALUES (?, ?, ?, ?, ?, (SELECT coalesce(max(turn), 0) + 1 FROM registration))
ON CONFLICT (id) DO NOTHING
"""
_CLOSE_OTHERS = "UPDATE registration SET closed = ? WHERE id <> ? AND closed IS NULL"
_CLOSE = "UPDATE registration SET closed = ? WHERE id = ? AND closed IS NULL"
_JOB = """
INSERT INTO job (registration, id, name, state, received) VALUES (?, ?, ?, 'received', ?)
ON CONFLICT (id, registration) DO NOTHING
"""
_OFFER = """
INSERT INTO offer (job, cluster, jobspec, crc) VALUES (?, ?, ?, ?) ON CONFLICT (job) DO NOTHING
"""
# Of the registrations of one cluster with one scheduler, the last that had such a row.
_SAME = """
SELECT j.seq, j.state, j.registration FROM job AS j
JOIN offer AS o ON o.job = j.seq
JOIN registration AS r ON r.id = j.registration
JOIN registration AS mine ON mine.id = ?
WHERE j.id = ? AND j.accepted IS NULL AND o.jobspec = ?
    AND r.cluster = mine.cluster AND r.host = mine.host
ORDER BY r.turn DESC LIMIT 1
"""
_OFFERED_BY = "UPDATE job SET offered_by = ? WHERE seq = ?"
_KNOWN = "SELECT seq FROM job WHERE id = ?2 AND (registration = ?1 OR offered_by = ?1)"
_EVENT = "INSERT INTO event (job, task, at, was, now, cause) VALUES (?, ?, ?, ?, ?, ?)"
_FIND = """
SELECT seq, state, EXISTS (SELECT 1 FROM task WHERE task.job = job.seq), received FROM job
WHERE registration = ? AND id = ?
"""
_NAME = "UPDATE job SET name = ? WHERE seq = ?"
_TASK = """
INSERT INTO task (job, position, name, depends_on, kind, parent) VALUES (?, ?, ?, ?, ?, ?)
"""
_REPLICA = """
INSERT INTO replica (task, replica, job, in_group, state) VALUES (?, ?, ?, ?, 'pending')
"""
_REFUSE = "UPDATE job SET state = 'refused', reason = ?, finished = ? WHERE seq = ?"
_UNACCEPTED = """
SELECT seq, state, received FROM job
WHERE coalesce(offered_by, registration) = ? AND id = ? AND accepted IS NULL
"""
_ACCEPT = "UPDATE job SET accepted = ? WHERE seq = ?"
_NOTE = """
INSERT INTO note (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


def open_registration(db: sqlite3.Connection, registration: Registration) -> None:
    """Make a registration the current one, and close the others, whose end nobody may have noted.

    A known one keeps the time it was opened first.
    """
    r = registration
    db.execute(_OPEN, (r.id, r.cluster, r.host, r.opened))
    db.execute(_CLOSE_OTHERS, (r.opened, r.id))


def close_registration(db: sqlite3.Connection, registration: str, at: float) -> None:
    """End a registration; again is no change."""
    db.execute(_CLOSE, (at, registration))


def record_offers(
    db: sqlite3.Connection, registration: str, offers: Sequence[Offer], at: float
) -> list[JobKey]:
    """Store jobs that are not known yet; their keys, in the order given."""
    _expect_registration(db, registration)
    new = []
    for offer in offers:
        known = db.execute(_KNOWN, (registration, offer.id)).fetchone()
        if known:
            # A job that was found in the workload manager has no text yet.
            db.execute(_OFFER, _offer_row(known[0], offer))
        elif not _offered_again(db, registration, offer, at):
            job = db.execute(_JOB, (registration, offer.id, offer.name, at))
            db.execute(_OFFER, _offer_row(job.lastrowid, offer))
            cause = f"rainbow handed it over as {offer.name!r}"
            db.execute(_EVENT, (job.lastrowid, None, at, None, JobState.RECEIVED.value, cause))
            new.append(JobKey(registration, offer.id))
    return new


def _offer_row(job: int | None, offer: Offer) -> tuple[int | None, str, str, int]:
    return job, offer.cluster, offer.jobspec, check_sum(offer.jobspec)


def _offered_again(db: sqlite3.Connection, registration: str, offer: Offer, at: float) -> bool:
    """Whether this row is a job's that came under an earlier registration; it is noted then.

    The same id with the same text, of a job that rainbow was not told of (decision 0030).
    """
    row = db.execute(_SAME, (registration, offer.id, offer.jobspec)).fetchone()
    if row is None:
        return False
    seq, state, before = row
    db.execute(_OFFERED_BY, (registration, seq))
    cause = f"rainbow offers the row of {before}/{offer.id} again, now to {registration}"
    db.execute(_EVENT, (seq, None, at, state, OFFERED_AGAIN, cause))
    return True


def adopt(
    db: sqlite3.Connection, jobs: Sequence[FoundJob], host: str, at: float
) -> list[TaskChange]:
    """Store jobs that the workload manager has; known ones stay as they are.

    Returns:
        The news that makes their tasks `submitting`: a crash before more is known of them must
        not have them submitted a second time.
    """
    marks: list[TaskChange] = []
    for found in jobs:
        key = found.key
        db.execute(_PAST, (key.registration, found.cluster, host, found.received, at))
        job = db.execute(_JOB, (key.registration, key.id, found.name, found.received))
        if not job.rowcount:
            continue
        cause = "found in the workload manager's journal; the ledger did not have it"
        state = JobState.RECEIVED.value
        db.execute(_EVENT, (job.lastrowid, None, found.received, None, state, cause))
        for position, task in enumerate(found.tasks):
            _record_task(db, _Slot(job.lastrowid or 0, position, None), task, found.received)
            marks += [
                TaskChange(
                    TaskKey(key, task.name, replica), TaskState.SUBMITTING, found.received, cause
                )
                for replica in range(task.replicas)
            ]
    return marks


def record_plan(db: sqlite3.Connection, planned: PlannedJob, at: float) -> None:
    """Store the tasks of a job; one that is planned already is left as it is."""
    seq, state, has_tasks, _ = _find(db, planned.key)
    if has_tasks:
        return
    if state is not JobState.RECEIVED:
        raise _too_late(planned.key, state, "planned")
    _expect_tasks(planned)
    if planned.plan.name:
        db.execute(_NAME, (planned.plan.name, seq))
    rows: dict[str, int] = {}
    for position, (task, group) in enumerate(planned.plan.every_task()):
        parent = rows[group.name] if group else None
        rows[task.name] = _record_task(db, _Slot(seq, position, parent), task, at)
    for warning in planned.plan.warnings:
        db.execute(_EVENT, (seq, None, at, state.value, WARNING, warning))


def record_refusal(db: sqlite3.Connection, refusal: Refusal, at: float) -> None:
    """Refuse a job; the reason that came first stays."""
    seq, state, has_tasks, received = _find(db, refusal.key)
    at = max(at, received)  # the clock may have been set back since
    if has_tasks:
        raise _too_late(refusal.key, state, JobState.REFUSED.value)
    if state is JobState.REFUSED:
        return
    db.execute(_REFUSE, (refusal.reason, at, seq))
    db.execute(_EVENT, (seq, None, at, state.value, JobState.REFUSED.value, refusal.reason))


def mark_accepted(db: sqlite3.Connection, registration: str, ids: Sequence[int], at: float) -> None:
    """Rainbow was told of these jobs; again, or of unknown ones, is no change."""
    for job_id in ids:
        row = db.execute(_UNACCEPTED, (registration, job_id)).fetchone()
        if row:
            seq, state, received = row
            told = max(at, received)  # the clock may have been set back since
            db.execute(_ACCEPT, (told, seq))
            db.execute(_EVENT, (seq, None, told, state, ACCEPTED, "rainbow was told"))


def put_note(db: sqlite3.Connection, name: str, value: Any) -> None:
    """Keep a JSON value under a name."""
    db.execute(_NOTE, (name, json.dumps(value)))


class _Slot(NamedTuple):
    """Where a task goes."""

    job: int
    position: int
    parent: int | None  # the row of its group


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


def _expect_registration(db: sqlite3.Connection, registration: str) -> None:
    known = db.execute("SELECT 1 FROM registration WHERE id = ?", (registration,)).fetchone()
    if not known:
        raise ValueError(f"registration {registration!r} is not in the ledger: open it first")


def _expect_tasks(planned: PlannedJob) -> None:
    if not planned.plan.tasks or any(task.replicas < 1 for task, _ in planned.plan.every_task()):
        raise ValueError(f"job {planned.key}: a plan needs tasks, and a task replicas")


def _too_late(key: JobKey, state: JobState, wanted: str) -> InvalidTransition:
    return InvalidTransition(f"job {key}: it is {state.value} already and cannot be {wanted}")
