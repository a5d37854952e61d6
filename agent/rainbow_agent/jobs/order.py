"""The order of one job's tasks on their way into the workload manager. Pure.

A task can be submitted when every replica of all that it depends on has a job id: the workload
manager keeps the order from then on (`afterok`), also while the agent is down. The same order
holds in a group, where the runner also waits for what only it can wait for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rainbow_agent.core.model import JobKey, Plan, PlannedTask, TaskKey, TaskKind, TaskRow
from rainbow_agent.core.states import FINAL_TASK_STATES, TaskState


@dataclass(frozen=True)
class Ready:
    """One replica that can be submitted now."""

    key: TaskKey
    task: PlannedTask
    afterok: tuple[int, ...]


def rows_of(plan: Plan, key: JobKey) -> list[TaskRow]:
    """A plan's tasks, each replica a row, all pending: as the ledger has them once planned."""
    return [
        TaskRow(
            TaskKey(key, task.name, replica),
            position,
            TaskState.PENDING,
            task.depends_on,
            kind=task.kind,
            group=group.name if group else None,
        )
        for position, (task, group) in enumerate(plan.every_task())
        for replica in range(task.replicas)
    ]


def held_back(rows: Sequence[TaskRow]) -> set[TaskKey]:
    """Of one job: what waits for nodes to come up, and what depends on that, near or far."""
    waiting = {row.key.task for row in rows if row.waits is not None}
    held = {row.key for row in rows if row.waits is not None}
    for row in sorted(rows, key=lambda row: row.position) if waiting else ():
        if row.key not in held and not waiting.isdisjoint(row.depends_on):
            waiting.add(row.key.task)
            held.add(row.key)
    return held


def dependency_failed(name: str, rows: Sequence[TaskRow]) -> bool:
    """Whether something that a task depends on, near or far, is known to have ended badly."""
    needs = {row.key.task: row.depends_on for row in rows}
    queue, above = [*needs.get(name, ())], set()
    while queue:
        task = queue.pop()
        if task not in above:
            above.add(task)
            queue += needs.get(task, ())
    bad = FINAL_TASK_STATES - {TaskState.COMPLETED}
    return any(row.state in bad and row.key.task in above for row in rows)


class JobOrder:
    """What of one plan can start next.

    A job can be submitted when every replica of all that it depends on has an id: the workload
    manager waits for their ends. Where a local task is at either end nothing else
    waits, so it must have ended well itself; so must, well or not, what a task stands `after`.

    Args:
        plan: the plan; of its groups only what they are from outside.
        rows: its tasks as they are; those in state pending are to be started, the others are
            known to the workload manager or over. Rows of tasks in groups are left aside.
    """

    def __init__(self, plan: Plan, rows: Sequence[TaskRow]) -> None:
        self.once = plan.once
        self._tasks = {task.name: task for task in plan.tasks}
        self._places = {name: place for place, name in enumerate(self._tasks)}
        self._rows: dict[str, list[TaskRow]] = {name: [] for name in self._tasks}
        self._ids: dict[str, list[int]] = {name: [] for name in self._tasks}
        self._missing: dict[str, int] = dict.fromkeys(self._tasks, 0)  # replicas without an id
        self._open: dict[str, int] = dict.fromkeys(self._tasks, 0)  # replicas that are not over
        self._failed: set[str] = set()
        self._dependents: dict[str, list[str]] = {name: [] for name in self._tasks}
        self._followers: dict[str, list[str]] = {name: [] for name in self._tasks}
        self._released: set[str] = set()
        for task in plan.tasks:
            for dependency in task.depends_on:
                self._dependents[dependency].append(task.name)
            for before in task.after:
                self._followers[before].append(task.name)
        for row in rows:
            if row.group is None:
                self._note_row(row)
        self._waits = {name: self._count_waits(task) for name, task in self._tasks.items()}

    def _note_row(self, row: TaskRow) -> None:
        name = row.key.task
        self._rows[name].append(row)
        if row.state in (TaskState.PENDING, TaskState.SUBMITTING):
            self._missing[name] += 1
        elif row.state in FINAL_TASK_STATES and row.state is not TaskState.COMPLETED:
            self._failed.add(name)
        elif row.flux_id is not None and row.state is not TaskState.COMPLETED:
            self._ids[name].append(row.flux_id)
        self._open[name] += row.state not in FINAL_TASK_STATES

    def _count_waits(self, task: PlannedTask) -> int:
        """How many of the tasks that it needs are not as far as it needs them."""
        ends = sum(1 for name in task.after if self._open[name])
        for name in task.depends_on:
            left = self._open if self._needs_end(task.name, name) else self._missing
            ends += bool(left[name])
        return ends

    def _needs_end(self, dependent: str, dependency: str) -> bool:
        """Whether the workload manager cannot wait for a dependency in our place."""
        pair = (self._tasks[dependent], self._tasks[dependency])
        return any(task.kind is TaskKind.LOCAL for task in pair)

    def place(self, name: str) -> tuple[int, int]:
        """A task's place in the plan, and how many tasks the plan has."""
        return self._places[name], len(self._places)

    def start(self) -> tuple[list[Ready], list[TaskKey]]:
        """What can start at once, and what never can (it depends on what failed)."""
        doomed = [key for name in list(self._failed) for key in self.refused(name)]
        ready = [r for name in self._tasks if not self._waits[name] for r in self._release(name)]
        return ready, doomed

    def submitted(self, key: TaskKey, flux_id: int) -> list[Ready]:
        """A replica got its id; what can be submitted because of it."""
        self._ids[key.task].append(flux_id)
        self._missing[key.task] -= 1
        if self._missing[key.task]:
            return []
        heard = [d for d in self._dependents[key.task] if not self._needs_end(d, key.task)]
        return self._one_less(heard)

    def ended(self, key: TaskKey, *, well: bool) -> tuple[list[Ready], list[TaskKey]]:
        """A replica is over; what can start because of it, and what never can.

        To be called once for each replica, the doomed ones included.
        """
        name = key.task
        doomed = [] if well else self.refused(name)
        self._open[name] -= 1
        if self._open[name]:
            return [], doomed
        heard = list(self._followers[name])
        if name not in self._failed:
            heard += [d for d in self._dependents[name] if self._needs_end(d, name)]
        return self._one_less(heard), doomed

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

    def _one_less(self, names: Iterable[str]) -> list[Ready]:
        ready: list[Ready] = []
        for name in names:
            self._waits[name] -= 1
            if not self._waits[name]:
                ready += self._release(name)
        return ready

    def _release(self, name: str) -> Iterator[Ready]:
        task = self._tasks[name]
        if name in self._released or any(d in self._failed for d in task.depends_on):
            return
        self._released.add(name)
        waited = (d for d in task.depends_on if not self._needs_end(name, d))
        afterok = tuple(i for d in waited for i in self._ids[d])
        for row in self._rows[name]:
            if _is_open(row):
                yield Ready(row.key, task, afterok)


def _is_open(row: TaskRow) -> bool:
    return row.waits is None and row.state in (TaskState.PENDING, TaskState.SUBMITTING)
