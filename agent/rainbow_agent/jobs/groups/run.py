"""A group's run: the same plan, order, submissions and journal as the agent's, one level down.

The runner lives as long as its instance does and no longer, so that nothing needs to be on disk
here: what became of its tasks goes into the group's event log
(core/group_events.py). A runner that dies takes its instance with it, and with that its tasks.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import Plan, PlannedTask, TaskChange, TaskKey, TaskKind, TaskRow
from rainbow_agent.core.ports import Clock, StopSignal, Workload
from rainbow_agent.core.states import FINAL_TASK_STATES, TASK_MOVES, TaskState
from rainbow_agent.core.workload_values import WorkloadEvent
from rainbow_agent.jobs.groups.denied import DeniedInside, Judge, never_runs
from rainbow_agent.jobs.order import Ready, rows_of
from rainbow_agent.jobs.submitter import Submitter
from rainbow_agent.jobs.tracker import Tracker

log = logging.getLogger(__name__)

#: Seconds that one wait for answers may take, and one for news.
_COLLECT_TIMEOUT_S = 0.05
_NEWS_TIMEOUT_S = 0.5
#: Seconds that what is canceled has to end before the runner leaves all the same.
_END_TIMEOUT_S = 3.0
#: Seconds after which tasks whose order is not known are tried again.
_ANEW_INTERVAL_S = 1.0


class InPlace(Protocol):
    """Runs local tasks: processes beside the runner."""

    def start(self, key: TaskKey, task: PlannedTask) -> None:
        """Start one; its beginning and its end come as news, from any thread."""

    def cancel(self, keys: Collection[TaskKey]) -> None:
        """End those that run."""


@dataclass(frozen=True)
class GroupContext:
    """What a group's run works with."""

    workload: Workload
    environment: Mapping[str, str]  # of jobs, under their own
    clock: Clock
    stop: StopSignal
    report: Callable[[Sequence[TaskChange]], None]
    judge: Judge
    #: Is given each task that has ended and whose output is to outlive the instance.
    keep: Callable[[TaskKey, int], None] = lambda _key, _flux_id: None


class GroupRun:
    """The run of one group.

    Args:
        key: the group's own.
        tasks: those in it.
        context: what it works with.
        in_place: makes the runner of local tasks; it is given where to put their news.
        unplaceable: why none of the group's nodes can run a task, by its name.
    """

    def __init__(
        self,
        key: TaskKey,
        tasks: Sequence[PlannedTask],
        context: GroupContext,
        in_place: Callable[[Callable[[TaskChange], None]], InPlace],
        unplaceable: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._key = key
        plan = Plan(key.task, tuple(tasks))
        rows = rows_of(plan, key.job)
        self._context = context
        self._submitter = Submitter(
            workload=context.workload,
            environment=context.environment,
            clock=context.clock,
            record=self._take,
            in_group=True,
            start_elsewhere=self._start_here,
            on_dependency=self._look_up,
        )
        self._plan, self._rows = plan, rows
        self._states: dict[TaskKey, TaskState] = {row.key: row.state for row in rows}
        self._ids: dict[TaskKey, int] = {}
        self._left = len(rows)
        self._denied = DeniedInside(context.judge, context.workload.resources, context.clock)
        self._needs = {task.name: task.depends_on for task in tasks}
        self._replicas: dict[str, list[TaskKey]] = {task.name: [] for task in tasks}
        for row in rows:
            if row.group is None:
                self._replicas[row.key.task].append(row.key)
        self._void: set[int] = set()  # ids of jobs that count no longer
        self._back: set[str] = set()  # tasks of which there were such jobs
        self._begun: set[TaskKey] = set()  # local tasks
        self._stale = False  # whether what is pending is to be put in order anew
        self._ordered = float("-inf")
        self._unplaceable = unplaceable
        self._news: queue.Queue[TaskChange | WorkloadUnavailable] = queue.Queue()
        self._in_place = in_place(self._news.put)
        self._has_jobs = any(task.kind is not TaskKind.LOCAL for task in tasks)
        # A local task writes to the group's own output; a group in this one may hold such tasks.
        self._kept = {
            task.name
            for task in tasks
            if task.kind is TaskKind.GROUP or (task.watch and task.kind is TaskKind.JOB)
        }

    def run(self) -> bool:
        """Run every task that can run; whether all of them ended well.

        Raises:
            WorkloadUnavailable: the instance is gone, and with it what ran.
        """
        ended = threading.Event()
        reader = threading.Thread(target=self._read_journal, args=(ended,), daemon=True)
        if self._has_jobs:
            reader.start()
        try:
            self._submitter.add(self._key.job, self._plan, self._rows)
            while self._left and not self._context.stop.is_set():
                self._turn()
            if self._left:
                self._give_up()
        finally:
            ended.set()
            if self._has_jobs:
                reader.join(_NEWS_TIMEOUT_S * 4)
        return all(state is TaskState.COMPLETED for state in self._states.values())

    def _turn(self) -> None:
        self._submitter.send()
        self._submitter.collect(_COLLECT_TIMEOUT_S)
        self._take(self._next_news(0.0 if self._submitter.unfinished() else _NEWS_TIMEOUT_S))
        if not self._submitter.unfinished():
            self._look_at_denied()
            self._order_anew()

    def _look_at_denied(self) -> None:
        try:
            news, free = self._denied.look()
        except WorkloadUnavailable as exc:  # if the instance is gone, the journal says so
            log.warning("The nodes cannot be looked at now: %s", exc)
            return
        self._stale = self._stale or free
        self._take(news)

    def _order_anew(self) -> None:
        """Submit what is pending again and waits for nothing; end what depends on a failed task."""
        if not self._stale:
            return
        if self._context.clock.monotonic() - self._ordered < _ANEW_INTERVAL_S:
            return
        self._stale, self._ordered = False, self._context.clock.monotonic()
        self._submitter.clear()
        self._submitter.add(self._key.job, self._plan, [*map(self._as_it_is, self._rows)])

    def _as_it_is(self, row: TaskRow) -> TaskRow:
        key, state = row.key, self._states[row.key]
        if key in self._begun and state is TaskState.PENDING:
            state = TaskState.SUBMITTED  # its first news is on its way
        flux_id = self._ids.get(key)
        return replace(row, state=state, flux_id=flux_id, waits=self._denied.waits(key))

    def _for_denied(self, key: TaskKey) -> bool:
        """Whether a task was turned down for one before it that was denied, or may have been."""
        needs = self._needs[key.task]
        before = {self._states[each] for need in needs for each in self._replicas[need]}
        if not before.isdisjoint(FINAL_TASK_STATES - {TaskState.COMPLETED}):
            return False
        return not (self._back.isdisjoint(needs) and before <= FINAL_TASK_STATES)

    def _look_up(self, key: TaskKey) -> bool:
        """Submitter's on_dependency; the journal says soon what became of what it depends on."""
        again = self._for_denied(key)
        self._stale = self._stale or again
        return again

    def _put_back(self, change: TaskChange) -> TaskChange:
        """News of a job that counts no longer: its task is pending again."""
        if change.denied:
            self._denied.add(change)
        if change.flux_id is not None:
            self._void.add(change.flux_id)
        self._ids.pop(change.key, None)
        self._states[change.key] = TaskState.PENDING
        self._back.add(change.key.task)
        self._stale = True
        return replace(
            change, state=TaskState.PENDING, exit_code=None, reason=None, finished=None, again=True
        )

    def _start_here(self, ready: Ready) -> bool:
        """Start a local task; end one that none of the nodes can run. False: it is to be sent."""
        if ready.task.name in self._unplaceable:
            reason = self._unplaceable[ready.task.name]
            self._take([never_runs(ready.key, reason, self._context.clock.now())])
            return True
        if ready.task.kind is TaskKind.LOCAL:
            self._begun.add(ready.key)
            self._in_place.start(ready.key, ready.task)
            return True
        return False

    def _cancel(self, keys: Iterable[TaskKey], reason: str) -> None:
        at = self._context.clock.now()
        self._take(
            TaskChange(key, TaskState.CANCELED, at, reason, reason=reason, finished=at, inside=True)
            for key in keys
        )

    def _take(self, news: Iterable[TaskChange]) -> None:
        """Note what is new, report it, and queue what can start because of it."""
        moved = [each for change in news if (each := self._noted(change)) is not None]
        if moved:
            self._context.report(moved)

    def _noted(self, change: TaskChange) -> TaskChange | None:
        """What is to be reported of one piece of news; None: nothing."""
        was = self._states.get(change.key)
        if was is None:  # of a task in a group of ours: that one's runner knows its order
            return change
        if change.flux_id in self._void:
            return None
        if change.denied or (change.dependency and self._for_denied(change.key)):
            return self._put_back(change)
        if change.again:
            return change  # it waits for something else than before
        if (was, change.state) not in TASK_MOVES:
            return None
        self._states[change.key] = change.state
        if change.flux_id is not None:
            self._ids[change.key] = change.flux_id
        if change.state in FINAL_TASK_STATES:
            self._left -= 1
            if change.key in self._ids and change.key.task in self._kept:
                self._context.keep(change.key, self._ids[change.key])
            self._submitter.ended(change.key, well=change.state is TaskState.COMPLETED)
        return change

    def _next_news(self, timeout: float) -> list[TaskChange]:
        """The news that is there; waits for the first.

        Raises:
            WorkloadUnavailable: the journal ended.
        """
        found: list[TaskChange] = []
        try:
            item = self._news.get(timeout=timeout) if timeout else self._news.get_nowait()
            while True:
                if isinstance(item, WorkloadUnavailable):
                    if not found:
                        raise item
                    self._news.put(item)
                    return found
                found.append(item)
                item = self._news.get_nowait()
        except queue.Empty:
            return found

    def _read_journal(self, ended: threading.Event) -> None:
        tracker = Tracker(resubmits=True)
        try:
            journal = self._context.workload.open_journal(lambda _: True)
            try:
                while not ended.is_set():
                    for event in journal.next_events(_NEWS_TIMEOUT_S):
                        self._follow(tracker, event)
            finally:
                journal.close()
        except WorkloadUnavailable as exc:
            self._news.put(exc)

    def _follow(self, tracker: Tracker, event: WorkloadEvent) -> None:
        news = tracker.feed(event)
        if news is not None:
            self._news.put(news)

    def _give_up(self) -> None:
        """The group is ended from outside: end what runs, and tell what became of it."""
        reason = "its group was ended"
        log.warning("The group is ended; what runs in it ends too")
        self._submitter.drop_queue()
        live = [k for k, state in self._states.items() if state not in FINAL_TASK_STATES]
        self._cancel((k for k in live if self._states[k] is TaskState.PENDING), reason)
        self._in_place.cancel(live)
        try:
            ids = [self._ids[key] for key in live if key in self._ids]
            if ids:
                self._context.workload.cancel(ids, reason)
            deadline = self._context.clock.monotonic() + _END_TIMEOUT_S
            while self._left and self._context.clock.monotonic() < deadline:
                self._take(self._next_news(0.1))
                self._submitter.drop_queue()
        except WorkloadUnavailable as exc:
            log.warning("The instance is gone: %s", exc)
        self._cancel(
            (k for k, state in self._states.items() if state not in FINAL_TASK_STATES), reason
        )
