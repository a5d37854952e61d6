"""What a job waited for, and for how long. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rainbow_agent.core.model import JobRow, StoryLine, TaskKey, TaskRow
from rainbow_agent.core.states import FINAL_JOB_STATES, FINAL_TASK_STATES, TaskState
from rainbow_agent.core.workload_values import TaskEvent
from rainbow_agent.monitoring.blocked import Blocked

#: Waits that are shorter are left out.
MIN_WAIT_S: Final = 1.0
#: In the cause of a task that is pending again since the scheduler denied it for want of nodes.
DENIED: Final = "denied due to type="
_NOT_BLOCKED: Final = Blocked()


@dataclass(frozen=True)
class WaitTime:
    """One wait. Times are epoch seconds."""

    task: str  # "" for the job itself
    what: str  # for what
    start: float
    end: float | None  # None: it still waits
    seconds: float


def wait_times(
    job: JobRow,
    events: Mapping[TaskKey, Sequence[TaskEvent]],
    now: float,
    blocked: Blocked = _NOT_BLOCKED,
    story: Sequence[StoryLine] = (),
) -> list[WaitTime]:
    """The waits of a job, in the order in which they began.

    Of a task's replicas, the one that waited longest counts.

    Args:
        job: the job with its tasks.
        events: the workload manager's events, as far as they are known; without them a task's
            start stands for its allocation.
        now: epoch seconds.
        blocked: what keeps it now, beside what it waits for anyway.
        story: says which tasks the scheduler denied, and when.
    """
    found: dict[tuple[str, str], WaitTime] = {}
    for wait in (*_all(job, events, now, blocked, story), *_for_nodes(job, story, now)):
        known = found.get((wait.task, wait.what))
        if wait.seconds >= MIN_WAIT_S and (known is None or wait.seconds > known.seconds):
            found[wait.task, wait.what] = wait
    return sorted(found.values(), key=lambda wait: wait.start)


def _all(
    job: JobRow,
    events: Mapping[TaskKey, Sequence[TaskEvent]],
    now: float,
    blocked: Blocked,
    story: Sequence[StoryLine],
) -> Iterator[WaitTime]:
    submitted = [task.submitted for task in job.tasks if task.submitted is not None]
    # A task that was denied has been submitted before.
    submitted += [each.at for each in story if each.task and each.now == TaskState.SUBMITTED.value]
    waits = any(task.waits is not None for task in job.tasks)
    if submitted or not (waits or job.state in FINAL_JOB_STATES):
        end = min(submitted) if submitted else None
        what = "for the agent to submit it"
        if end is None:
            what = blocked.submission or what
        yield _wait("", what, job.received, end, now)
    ends = _ends(job)
    for task in job.tasks:
        if task.submitted is not None:
            own = events.get(task.key, ())
            yield from _of_task(
                task, task.submitted, ends, own, now, blocked=blocked.tasks.get(task.key, "")
            )


def _for_nodes(job: JobRow, story: Sequence[StoryLine], now: float) -> Iterator[WaitTime]:
    """For nodes to be up, of tasks that the scheduler denied: now by their names, and before."""
    since: dict[tuple[str | None, int | None], float] = {}
    for line in story:
        who = line.task, line.replica
        if line.now == TaskState.PENDING.value and DENIED in line.cause:
            since[who] = line.at
        elif line.task and who in since:
            yield _wait(line.task, "for nodes to be up", since.pop(who), line.at, now)
    groups = {task.key.task: task.started for task in job.tasks}
    for task in job.tasks:
        name = task.key.task
        if task.waits is not None:
            yield _wait(name, str(task.waits), task.waits.since, None, now)
        elif task.group is not None and task.state is TaskState.PENDING and task.reason:
            # Its group's runner says so, which keeps only the words.
            begun = since.get((name, task.key.replica)) or groups.get(task.group)
            yield _wait(
                name, task.reason.removeprefix("it waits "), begun or job.received, None, now
            )


def _of_task(
    task: TaskRow,
    submitted: float,
    ends: Mapping[str, float | None],
    events: Sequence[TaskEvent],
    now: float,
    *,
    blocked: str,
) -> Iterator[WaitTime]:
    """For the tasks before it, then to be released while it is held, and for resources."""
    at = {event.name: event.at for event in reversed(events)}
    over = task.finished if task.state in FINAL_TASK_STATES else None
    begun = at.get("alloc", task.started)
    free = submitted
    if task.depends_on:
        done = [ends.get(name) for name in task.depends_on]
        known = None if None in done else max(float(end or 0.0) for end in done)
        until = at.get("depend", known)
        what = f"for {' and '.join(task.depends_on)} to complete"
        yield _wait(task.key.task, what, free, _first(until, over), now)
        if until is None:
            return
        free = max(free, until)
    end = _first(begun, over)
    for start, until, held in _spells(events, free, end):
        what = "for free resources"
        if held:
            what = "to be released: it is held (`flux job urgency ID default` releases it)"
        elif until is None:
            what = blocked or what
        yield _wait(task.key.task, what, start, until, now)


def _spells(
    events: Sequence[TaskEvent], start: float, end: float | None
) -> Iterator[tuple[float, float | None, bool]]:
    """From when until when a task was held (urgency 0), and when it was not, in turns."""
    held = False
    for event in events:
        if event.name not in ("submit", "urgency"):
            continue
        if end is not None and event.at >= end:
            break
        before, held = held, event.context.get("urgency", 1) == 0
        if before != held and event.at > start:
            yield start, event.at, before
            start = event.at
    yield start, end, held


def _first(*times: float | None) -> float | None:
    known = [time for time in times if time is not None]
    return min(known) if known else None


def _ends(job: JobRow) -> dict[str, float | None]:
    """When the last replica of each task ended; None while one has not."""
    ends: dict[str, float | None] = {}
    for task in job.tasks:
        known = ends.get(task.key.task, 0.0)
        both = known is not None and task.finished is not None
        ends[task.key.task] = max(known or 0.0, task.finished or 0.0) if both else None
    return ends


def _wait(task: str, what: str, start: float, end: float | None, now: float) -> WaitTime:
    return WaitTime(task, what, start, end, max((now if end is None else end) - start, 0.0))
