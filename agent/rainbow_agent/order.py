"""The order of one job's tasks on their way into the workload manager. Pure.

A task can be submitted when every replica of all that it depends on has a job id: the workload
manager keeps the order from then on (`afterok`), also while the agent is down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rainbow_agent.model import (
    FINAL_TASK_STATES,
    JobKey,
    Plan,
    PlannedTask,
    TaskKey,
    TaskRow,
    TaskState,
)


@dataclass(frozen=True)
class Ready:
    """One replica that can be submitted now."""

    key: TaskKey
    task: PlannedTask
    afterok: tuple[int, ...]


def rows_of(plan: Plan, key: JobKey) -> list[TaskRow]:
    """A plan's tasks, each replica a row, all pending: as the ledger has them once planned."""
    return [
        TaskRow(TaskKey(key, task.name, replica), position, TaskState.PENDING, task.depends_on)
        for position, task in enumerate(plan.tasks)
        for replica in range(task.replicas)
    ]


class JobOrder:
    """What of one job can be submitted next.

    Args:
        plan: the job's plan.
        rows: its tasks as the ledger has them; those in state pending are to be submitted, the
            others are known to the workload manager or over.
    """

    def __init__(self, plan: Plan, rows: Sequence[TaskRow]) -> None:
        self._tasks = {task.name: task for task in plan.tasks}
        self._rows: dict[str, list[TaskRow]] = {name: [] for name in self._tasks}
        self._ids: dict[str, list[int]] = {name: [] for name in self._tasks}
        self._missing: dict[str, int] = dict.fromkeys(self._tasks, 0)
        self._failed: set[str] = set()
        self._dependents: dict[str, list[str]] = {name: [] for name in self._tasks}
        self._released: set[str] = set()
        for task in plan.tasks:
            for dependency in task.depends_on:
                self._dependents[dependency].append(task.name)
        for row in rows:
            self._note_row(row)

    def _note_row(self, row: TaskRow) -> None:
        name = row.key.task
        self._rows[name].append(row)
        if row.state in (TaskState.PENDING, TaskState.SUBMITTING):
            self._missing[name] += 1
        elif row.state in FINAL_TASK_STATES and row.state is not TaskState.COMPLETED:
            self._failed.add(name)
        elif row.flux_id is not None and row.state is not TaskState.COMPLETED:
            self._ids[name].append(row.flux_id)

    def start(self) -> tuple[list[Ready], list[TaskKey]]:
        """What can be submitted at once, and what never can (it depends on what failed)."""
        doomed = [key for name in list(self._failed) for key in self.refused(name)]
        ready = [r for name in self._tasks for r in self._release(name)]
        return ready, doomed

    def submitted(self, key: TaskKey, flux_id: int) -> list[Ready]:
        """A replica got its id; what can be submitted because of it."""
        self._ids[key.task].append(flux_id)
        self._missing[key.task] -= 1
        if self._missing[key.task]:
            return []
        return [r for name in self._dependents[key.task] for r in self._release(name)]

    def refused(self, name: str) -> list[TaskKey]:
        """A task will never run; every pending task that depends on it, near or far."""
        self._failed.add(name)
        doomed: list[TaskKey] = []
        queue = list(self._dependents[name])
        while queue:
            dependent = queue.pop()
            if dependent in self._released:
                continue
            self._released.add(dependent)
            self._failed.add(dependent)
            doomed += [row.key for row in self._rows[dependent] if _is_open(row)]
            queue += self._dependents[dependent]
        return doomed

    def _release(self, name: str) -> Iterator[Ready]:
        task = self._tasks[name]
        if name in self._released or any(self._missing[d] for d in task.depends_on):
            return
        if any(d in self._failed for d in task.depends_on):
            return
        self._released.add(name)
        afterok = tuple(i for d in task.depends_on for i in self._ids[d])
        for row in self._rows[name]:
            if _is_open(row):
                yield Ready(row.key, task, afterok)


def _is_open(row: TaskRow) -> bool:
    return row.state in (TaskState.PENDING, TaskState.SUBMITTING)
