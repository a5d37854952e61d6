"""What a job waited for: the agent, tasks that come first, resources. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from rainbow_agent.model import JobRow, TaskEvent, TaskKey, TaskRow
from rainbow_agent.states import FINAL_JOB_STATES, FINAL_TASK_STATES

#: Seconds below which a wait is not worth a word.
WORTH = 1.0


@dataclass(frozen=True)
class Wait:
    """One wait. Times are epoch seconds."""

    task: str  # "" for the job itself
    what: str  # for what
    start: float
    end: float | None  # None: it goes on
    seconds: float


def waits(job: JobRow, events: Mapping[TaskKey, Sequence[TaskEvent]], now: float) -> list[Wait]:
    """The waits of a job that are worth a word, in the order in which they began.

    Of a task's replicas the one that waited longest is told.

    Args:
        job: the job with its tasks.
        events: the workload manager's events, as far as they are known; without them a task's
            start stands for its allocation.
        now: epoch seconds.
    """
    found: dict[tuple[str, str], Wait] = {}
    for wait in _all(job, events, now):
        known = found.get((wait.task, wait.what))
        if wait.seconds >= WORTH and (known is None or wait.seconds > known.seconds):
            found[wait.task, wait.what] = wait
    return sorted(found.values(), key=lambda wait: wait.start)


def _all(job: JobRow, events: Mapping[TaskKey, Sequence[TaskEvent]], now: float) -> Iterator[Wait]:
    sent = [task.submitted for task in job.tasks if task.submitted is not None]
    if sent or job.state not in FINAL_JOB_STATES:
        end = min(sent) if sent else None
        yield _wait("", "for the agent to submit it", job.received, end, now)
    ends = _ends(job)
    for task in job.tasks:
        if task.submitted is not None:
            yield from _of_task(task, ends, events.get(task.key, ()), now)


def _of_task(
    task: TaskRow, ends: Mapping[str, float | None], events: Sequence[TaskEvent], now: float
) -> Iterator[Wait]:
    """For what comes first, then for resources."""
    assert task.submitted is not None  # noqa: S101 - the caller looked
    at = {event.name: event.at for event in reversed(events)}
    over = task.finished if task.state in FINAL_TASK_STATES else None
    begun = at.get("alloc", task.started)
    free = task.submitted
    if task.depends_on:
        done = [ends.get(name) for name in task.depends_on]
        known = None if None in done else max(float(end or 0.0) for end in done)
        until = at.get("depend", known)
        what = f"for {' and '.join(task.depends_on)} to end well"
        yield _wait(task.key.task, what, free, _first(until, over), now)
        if until is None:
            return
        free = max(free, until)
    yield _wait(task.key.task, "for free resources", free, _first(begun, over), now)


def _first(*times: float | None) -> float | None:
    known = [time for time in times if time is not None]
    return min(known) if known else None


def _ends(job: JobRow) -> dict[str, float | None]:
    """When the last replica of each task ended; None while one goes on."""
    ends: dict[str, float | None] = {}
    for task in job.tasks:
        known = ends.get(task.key.task, 0.0)
        both = known is not None and task.finished is not None
        ends[task.key.task] = max(known or 0.0, task.finished or 0.0) if both else None
    return ends


def _wait(task: str, what: str, start: float, end: float | None, now: float) -> Wait:
    return Wait(task, what, start, end, max((now if end is None else end) - start, 0.0))
