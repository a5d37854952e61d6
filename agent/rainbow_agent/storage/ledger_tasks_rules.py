"""What the ledger knows of one replica, and what it knows after news of it. Pure.

Idempotent over a whole history: news that came before, in the same order, changes nothing
(tests/unit/storage/test_ledger_task_rules.py searches for counterexamples).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from rainbow_agent.core.model import TaskChange
from rainbow_agent.core.states import FINAL_TASK_STATES, TASK_MOVES, TaskState

_STARTED = FINAL_TASK_STATES | {TaskState.RUNNING}
_UNSENT = frozenset({TaskState.PENDING, TaskState.SUBMITTING})


class Progress(NamedTuple):
    """What changes about one replica. Times are epoch seconds."""

    state: TaskState
    flux_id: int | None = None
    exit_code: int | None = None
    reason: str | None = None
    submitted: float | None = None
    started: float | None = None
    finished: float | None = None


def contradicts(was: TaskState, wanted: TaskState) -> bool:
    """Whether news would leave a final state for another one."""
    return was in FINAL_TASK_STATES and wanted in FINAL_TASK_STATES and was is not wanted


def after(was: Progress, change: TaskChange) -> Progress:
    """What is known once `change` is; the caller has ruled out that it contradicts.

    A move into `submitted` or beyond brings newer facts; all other news fills only what is empty.
    Such a move happens once, so it is stale when it comes again.
    """
    if change.state is TaskState.PENDING and was.state is not TaskState.SUBMITTING:
        return _again(was, change)
    moves = (was.state, change.state) in TASK_MOVES
    if moves and was.state is TaskState.PENDING:
        was = was._replace(reason=None)  # what it waited for in its group
    said = _said(change)
    first, second = (said, was) if moves and change.state not in _UNSENT else (was, said)
    filled: list[Any] = [b if a is None else a for a, b in zip(first[1:], second[1:], strict=True)]
    return _in_order(was, Progress(change.state if moves else was.state, *filled))


def _in_order(was: Progress, now: Progress) -> Progress:
    """The same with its times in order: the clock may have been set back between two of them.

    What was known stays; what is new moves to it.
    """
    submitted, started, finished = now.submitted, now.started, now.finished
    if submitted is not None and started is not None and started < submitted:
        if was.started is None:
            started = submitted
        else:
            submitted = started
    begun = submitted if started is None else started
    if begun is not None and finished is not None and finished < begun:
        if was.finished is None:
            finished = begun
        else:
            started = None if started is None else finished
            submitted = None if submitted is None else min(submitted, finished)
    return now._replace(submitted=submitted, started=started, finished=finished)


def _again(was: Progress, change: TaskChange) -> Progress:
    """A submitted task goes back only when it is said that its own job is gone; it starts anew.

    One that is back already may wait for something else now.
    """
    if not (change.again and change.flux_id == was.flux_id):
        return was
    if was.state is not TaskState.PENDING and (was.state, change.state) not in TASK_MOVES:
        return was
    return Progress(TaskState.PENDING, reason=change.reason)


def has_started(state: TaskState, started: float | None) -> bool:
    """Whether a task ever ran, by what is known of it; one that completed did."""
    return started is not None or state in {TaskState.RUNNING, TaskState.COMPLETED}


def _said(change: TaskChange) -> Progress:
    """What a change says; where it has no time of its own, `at` is the nearest that is known."""
    state, started, finished = change.state, change.started, change.finished
    if started is None and state is TaskState.RUNNING:
        started = change.at
    if finished is None:
        finished = change.at
    return Progress(
        state=state,
        flux_id=change.flux_id,
        exit_code=change.exit_code,
        reason=None if state in _UNSENT else change.reason,
        submitted=change.at if state is TaskState.SUBMITTED else None,
        started=started if state in _STARTED else None,
        finished=finished if state in FINAL_TASK_STATES else None,
    )
