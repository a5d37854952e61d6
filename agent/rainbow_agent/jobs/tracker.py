"""From the workload manager's events to news of tasks. Pure."""

from __future__ import annotations

import os
from dataclasses import dataclass

from rainbow_agent.core.group_events import from_entry
from rainbow_agent.core.model import TaskChange, TaskKey
from rainbow_agent.core.notation import exit_code
from rainbow_agent.core.states import TaskState
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent


@dataclass
class _Watched:
    """What is known of one Flux job of ours while it is not over."""

    key: TaskKey
    submitted: float
    started: float | None = None
    finished: float | None = None
    status: int | None = None
    exception: WorkloadEvent | None = None
    inside: TaskChange | None = None  # of a group: the first task in it that did not end well


class Tracker:
    """Turns journal events of our jobs into news of tasks.

    Args:
        resubmits: whether a task that the scheduler denies for want of nodes is pending again;
            else it has failed.
    """

    def __init__(self, *, resubmits: bool = False) -> None:
        self._watched: dict[int, _Watched] = {}
        self._resubmits = resubmits

    def feed(self, event: WorkloadEvent) -> TaskChange | None:
        """News that follows from one event; None when nothing does."""
        if event.kind is EventKind.SUBMIT:
            return self._submitted(event)
        watched = self._watched.get(event.flux_id)
        if watched is None:
            return None
        if event.kind is EventKind.START:
            watched.started = event.time
            return TaskChange(
                watched.key,
                TaskState.RUNNING,
                event.time,
                "started",
                flux_id=event.flux_id,
                started=event.time,
            )
        if event.kind is EventKind.INSIDE:
            return _inside(watched, event)
        if event.kind is EventKind.FINISH:
            watched.finished, watched.status = event.time, event.status
        elif event.kind is EventKind.EXCEPTION and event.severity == 0:
            watched.exception = watched.exception or event
        elif event.kind is EventKind.CLEAN:
            del self._watched[event.flux_id]
            if self._resubmits and _is_denied(watched):
                return _denied(watched, event)
            return _ended(watched, event)
        return None

    def _submitted(self, event: WorkloadEvent) -> TaskChange | None:
        if event.key is None:
            return None
        self._watched[event.flux_id] = _Watched(event.key, event.time)
        return TaskChange(
            event.key,
            TaskState.SUBMITTED,
            event.time,
            "the workload manager has it",
            flux_id=event.flux_id,
        )


def _inside(watched: _Watched, event: WorkloadEvent) -> TaskChange | None:
    news = from_entry(watched.key, event.news)
    if news is not None and news.state is TaskState.FAILED:
        watched.inside = watched.inside or news
    return news


def _is_denied(watched: _Watched) -> bool:
    never_ran = watched.started is None and watched.status is None
    return never_ran and watched.exception is not None and watched.exception.denied


def _denied(watched: _Watched, event: WorkloadEvent) -> TaskChange:
    assert watched.exception is not None  # noqa: S101 - it is denied
    return TaskChange(
        watched.key,
        TaskState.PENDING,
        event.time,
        f"{watched.exception.exception}: {watched.exception.note}",
        flux_id=event.flux_id,
        denied=True,
    )


def _ended(watched: _Watched, event: WorkloadEvent) -> TaskChange:
    """The last news of a task: what its exception and wait status say together."""
    state, cause, unsatisfiable = TaskState.COMPLETED, "exit code 0", False
    reason: str | None = None
    code = exit_code(watched.status)
    exception = watched.exception
    if exception is not None:
        reason = ": ".join(part for part in (exception.exception, exception.note) if part)
        if exception.exception == "cancel" and exception.note.startswith("canceled"):
            reason = exception.note  # it says that already, as the agent's own notes do
        canceled = exception.exception in ("cancel", "dependency")
        state = TaskState.CANCELED if canceled else TaskState.FAILED
        unsatisfiable = exception.unsatisfiable
    elif code:
        state = TaskState.FAILED
        reason = (
            f"signal {code - 128}" if code > 128 and _signaled(watched) else f"exit code {code}"
        )
        if watched.inside is not None:
            reason += f"; {watched.inside.key.task}: {watched.inside.reason}"
    elif code is None:
        state, reason = TaskState.FAILED, "it ended without having run"
    return TaskChange(
        watched.key,
        state,
        event.time,
        reason or cause,
        flux_id=event.flux_id,
        exit_code=code,
        reason=reason,
        started=watched.started,
        finished=watched.finished or event.time,
        unsatisfiable=unsatisfiable,
        dependency=exception is not None and exception.exception == "dependency",
    )


def _signaled(watched: _Watched) -> bool:
    return watched.status is not None and os.WIFSIGNALED(watched.status)
