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
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import Plan, PlannedTask, TaskChange, TaskKey, TaskKind
from rainbow_agent.core.ports import Clock, StopSignal, Workload
from rainbow_agent.core.states import FINAL_TASK_STATES, TASK_MOVES, TaskState
from rainbow_agent.core.workload_values import WorkloadEvent
from rainbow_agent.jobs.order import Ready, rows_of
from rainbow_agent.jobs.submitter import Submitter
from rainbow_agent.jobs.tracker import Tracker

log = logging.getLogger(__name__)

#: Seconds that one wait for answers may take, and one for news.
_COLLECT_TIMEOUT_S = 0.05
_NEWS_TIMEOUT_S = 0.5
#: Seconds that what is canceled has to end before the runner leaves all the same.
_END_TIMEOUT_S = 3.0


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
        )
        self._plan, self._rows = plan, rows
        self._states: dict[TaskKey, TaskState] = {row.key: row.state for row in rows}
        self._ids: dict[TaskKey, int] = {}
        self._left = len(rows)
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

    def _start_here(self, ready: Ready) -> bool:
        """Start a local task; end one that none of the nodes can run. False: it is to be sent."""
        if ready.task.name in self._unplaceable:
            at, reason = self._context.clock.now(), self._unplaceable[ready.task.name]
            failed = TaskChange(
                ready.key,
                TaskState.FAILED,
                at,
                reason,
                reason=reason,
                finished=at,
                inside=True,
                unsatisfiable=True,
            )
            self._take([failed])
            return True
        if ready.task.kind is TaskKind.LOCAL:
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
        moved = []
        for change in news:
            was = self._states.get(change.key)
            if was is None:  # of a task in a group of ours: that one's runner knows its order
                moved.append(change)
                continue
            if (was, change.state) not in TASK_MOVES:
                continue
            self._states[change.key] = change.state
            if change.flux_id is not None:
                self._ids[change.key] = change.flux_id
            moved.append(change)
            if change.state in FINAL_TASK_STATES:
                self._left -= 1
                if change.key in self._ids and change.key.task in self._kept:
                    self._context.keep(change.key, self._ids[change.key])
                well = change.state is TaskState.COMPLETED
                self._submitter.ended(change.key, well=well)
        if moved:
            self._context.report(moved)

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
        tracker = Tracker()
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
