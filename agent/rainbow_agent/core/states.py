"""What jobs and tasks can be, how one state follows another, and a job's from its tasks'.

docs/states.md has the same tables for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class JobState(str, Enum):
    """What became of one job that rainbow handed over."""

    RECEIVED = "received"  # in the ledger; not all of its tasks are in the workload manager yet
    SUBMITTED = "submitted"  # every task is in the workload manager, none has started
    RUNNING = "running"  # at least one task has started, not all have ended
    COMPLETED = "completed"  # every task ended with exit code 0
    FAILED = "failed"  # a task failed, and nothing of the job runs any more
    CANCELED = "canceled"  # somebody ended it
    REFUSED = "refused"  # will never run here; the reason says why
    LOST = "lost"  # the workload manager no longer knows its tasks


class TaskState(str, Enum):
    """Where one replica of one task is."""

    PENDING = "pending"  # planned, not handed to the workload manager
    SUBMITTING = "submitting"  # the intent is on disk; the workload manager may have it or not
    SUBMITTED = "submitted"  # it has an id there, and waits
    RUNNING = "running"  # it has started
    COMPLETED = "completed"  # it ended with exit code 0
    FAILED = "failed"  # it ended otherwise, or can never run
    CANCELED = "canceled"  # ended by somebody, or what it depends on did not end well
    LOST = "lost"  # the workload manager no longer knows it


FINAL_JOB_STATES = frozenset(
    {
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.CANCELED,
        JobState.REFUSED,
        JobState.LOST,
    }
)
FINAL_TASK_STATES = frozenset(
    {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELED, TaskState.LOST}
)
#: What the workload manager has of a task, and can still cancel.
SENT_TASK_STATES = frozenset({TaskState.SUBMITTED, TaskState.RUNNING})

#: How a job may move: forward, or to any final state; `refused` is for jobs that never started.
#: One step back: all of the job waited in an instance that was replaced, and goes into the next.
_JOB_TABLE = {
    "received": "submitted running completed failed canceled refused lost",
    "submitted": "received running completed failed canceled refused lost",
    "running": "completed failed canceled lost",
    "completed": "",
    "failed": "",
    "canceled": "",
    "refused": "",
    "lost": "",
}
#: How a task may move: forward, or to any final state; and back to `pending`: from `submitting`
#: after a crash, or when the workload manager takes no jobs; from the others when the instance
#: that had it was replaced, or its group's scheduler denied it (TaskChange.again), and it is to be
#: submitted once more.
_TASK_TABLE = {
    "pending": "submitting submitted running completed failed canceled lost",
    "submitting": "pending submitted running completed failed canceled lost",
    "submitted": "pending running completed failed canceled lost",
    "running": "pending completed failed canceled lost",
    "completed": "",
    "failed": "",
    "canceled": "",
    "lost": "",
}
JOB_MOVES = frozenset(
    (JobState(was), JobState(now)) for was, after in _JOB_TABLE.items() for now in after.split()
)
TASK_MOVES = frozenset(
    (TaskState(was), TaskState(now)) for was, after in _TASK_TABLE.items() for now in after.split()
)


def job_state_of(
    counts: Mapping[TaskState, int], *, started: bool, unsatisfiable: bool
) -> JobState:
    """A job's state from how many of its tasks are in each state.

    Args:
        counts: tasks per state; at least one task in all.
        started: whether any task of the job ever started.
        unsatisfiable: whether the workload manager said of a task that it can never run here.
    """
    present = {state for state, n in counts.items() if n}
    if present <= FINAL_TASK_STATES:
        if present == {TaskState.COMPLETED}:
            return JobState.COMPLETED
        if TaskState.LOST in present:
            return JobState.LOST
        if unsatisfiable and not started:
            return JobState.REFUSED
        return JobState.FAILED if TaskState.FAILED in present else JobState.CANCELED
    if started:
        return JobState.RUNNING
    if present & {TaskState.PENDING, TaskState.SUBMITTING}:
        return JobState.RECEIVED
    return JobState.SUBMITTED
