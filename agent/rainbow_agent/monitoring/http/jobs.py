"""Jobs as the page shows them: some at a time, and one with its tasks put together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from rainbow_agent.core.model import JobRow, TaskRow
from rainbow_agent.core.states import FINAL_TASK_STATES, TaskState
from rainbow_agent.monitoring.remedies import blamed
from rainbow_agent.monitoring.views import job_view
from rainbow_agent.runtime.logs import when
from rainbow_agent.storage.ledger_paging import Listed, Page

#: Tasks of one job that are shown; replicas of a task count as one.
MAX_TASKS_SHOWN: Final = 500
#: The state that speaks for many replicas: the first of these that one of them is in.
_WORST: Final = (
    TaskState.FAILED,
    TaskState.LOST,
    TaskState.CANCELED,
    TaskState.RUNNING,
    TaskState.SUBMITTED,
    TaskState.SUBMITTING,
    TaskState.PENDING,
    TaskState.COMPLETED,
)


def page_view(page: Page) -> dict[str, Any]:
    """The `/api/jobs` object."""
    last = page.jobs[-1].place if page.jobs and page.more else None
    return {"jobs": [_listed(job) for job in page.jobs], "total": page.total, "before": last}


def _listed(job: Listed) -> dict[str, Any]:
    return {
        "id": job.key.id,
        "registration": job.key.registration,
        "name": job.name,
        "state": job.state.value,
        "reason": job.reason,
        "blamed": job.blamed,
        "received": when(job.received),
        "started": None if job.started is None else when(job.started),
        "finished": None if job.finished is None else when(job.finished),
        "tasks": job.tasks,
        "tasks_over": job.over,
    }


def job_detail(job: JobRow) -> dict[str, Any]:
    """The `/api/jobs/REGISTRATION/ID` object: replicas of one task are one entry."""
    found = [_together(rows) for rows in _by_task(job.tasks)]
    return {
        **{name: value for name, value in job_view(job).items() if name != "tasks"},
        "blamed": blamed(job)[0],
        "tasks": found[:MAX_TASKS_SHOWN],
        "tasks_left_out": max(0, len(found) - MAX_TASKS_SHOWN),
    }


def _by_task(rows: Iterable[TaskRow]) -> Iterable[list[TaskRow]]:
    ordered = sorted(rows, key=lambda row: (row.position, row.key.task, row.key.replica))
    return (list(group) for _, group in groupby(ordered, key=lambda row: row.key.task))


def _together(rows: Sequence[TaskRow]) -> dict[str, Any]:
    states = Counter(row.state for row in rows)
    state = next(each for each in _WORST if states[each])
    over = all(row.state in FINAL_TASK_STATES for row in rows)
    told = next(row for row in rows if row.state is state)
    bad = next((row for row in rows if row.state is state and row.reason), None)
    return {
        "name": rows[0].key.task,
        "replicas": len(rows),
        "state": state.value,
        "states": {each.value: n for each, n in states.items()},
        "depends_on": list(rows[0].depends_on),
        "reason": bad.reason if bad else None,
        "group": rows[0].group,
        # Of the replica that speaks for all: the first in this state.
        "replica": (bad or told).key.replica,
        "exit_code": (bad or told).exit_code,
        **_times(rows, over=over),
    }


def _times(rows: Sequence[TaskRow], *, over: bool) -> Mapping[str, str | None]:
    """The first that was submitted, the first that started, and the end of the last."""
    submitted = [row.submitted for row in rows if row.submitted is not None]
    started = [row.started for row in rows if row.started is not None]
    finished = [row.finished for row in rows if row.finished is not None] if over else []
    return {
        "submitted": when(min(submitted)) if submitted else None,
        "started": when(min(started)) if started else None,
        "finished": when(max(finished)) if finished else None,
    }
