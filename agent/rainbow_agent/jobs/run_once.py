"""`rainbow-agent run`: one jobspec straight to the workload manager, with the same planner.

No rainbow and no ledger: the jobs are the workload manager's, this process watches them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from rainbow_agent.core.group_events import left_behind
from rainbow_agent.core.model import (
    JobKey,
    Plan,
    Submission,
    SubmitOutcome,
    Submitted,
    TaskChange,
    TaskKey,
)
from rainbow_agent.core.ports import Clock, Journal, StopSignal, Workload
from rainbow_agent.core.states import FINAL_TASK_STATES, TaskState
from rainbow_agent.jobs.dispatcher import complete
from rainbow_agent.jobs.order import JobOrder, Ready, rows_of
from rainbow_agent.jobs.tracker import Tracker


class Run:
    """One plan on its way. `show` is told of every change."""

    def __init__(
        self,
        plan: Plan,
        key: JobKey,
        *,
        workload: Workload,
        environment: Mapping[str, str],
        clock: Clock,
        show: Callable[[TaskChange], None],
    ) -> None:
        self._workload = workload
        self._environment = environment
        self._clock = clock
        self._show = show
        rows = rows_of(plan, key)
        self._order = JobOrder(plan, rows)
        #: The latest news of each task.
        self.latest: dict[TaskKey, TaskChange] = {
            row.key: TaskChange(row.key, TaskState.PENDING, clock.now(), "planned") for row in rows
        }
        #: What is in each group, by the group's name.
        self._inside: dict[str, list[TaskKey]] = {}
        for row in rows:
            if row.group is not None:
                self._inside.setdefault(row.group, []).append(row.key)

    def submit(self, stop: StopSignal) -> None:
        """Submit every task; returns when all have an id or never will."""
        ready, doomed = self._order.start()
        queue = deque(ready)
        self._cancel(doomed)
        while (queue or self._workload.in_flight()) and not stop.is_set():
            while queue:
                self._start(queue.popleft())
            for outcome in self._workload.collect_outcomes(0.5):
                queue += self._settle(outcome)

    def watch(self, journal: Journal, stop: StopSignal) -> None:
        """Follow until every task is over."""
        tracker = Tracker()
        while not stop.is_set() and not self.over():
            for event in journal.next_events(0.5):
                news = tracker.feed(event)
                if news is not None and news.key in self.latest:
                    self._note(news)

    def over(self) -> bool:
        """Whether every task is in a final state."""
        return all(news.state in FINAL_TASK_STATES for news in self.latest.values())

    def failed(self) -> bool:
        """Whether any task did not end well."""
        return any(news.state is not TaskState.COMPLETED for news in self.latest.values())

    def cancel(self) -> None:
        """End what is not over."""
        ids = [
            news.flux_id
            for news in self.latest.values()
            if news.flux_id is not None and news.state not in FINAL_TASK_STATES
        ]
        self._workload.cancel(ids, "rainbow-agent run was interrupted")

    def _start(self, ready: Ready) -> None:
        jobspec = complete(ready.task, ready.key, self._environment)
        self._workload.start_submit(Submission(ready.key, jobspec, ready.afterok))

    def _settle(self, outcome: SubmitOutcome) -> list[Ready]:
        at, key = self._clock.now(), outcome.key
        if isinstance(outcome, Submitted):
            self._note(
                TaskChange(key, TaskState.SUBMITTED, at, "submitted", flux_id=outcome.flux_id)
            )
            return self._order.submitted(key, outcome.flux_id)
        # A dependency that has failed meanwhile is no fault of this task.
        doomed = outcome.reason.startswith("dependency")
        state = TaskState.CANCELED if doomed else TaskState.FAILED
        self._note(TaskChange(key, state, at, outcome.reason, reason=outcome.reason))
        self._cancel(self._order.refused(key.task))
        return []

    def _cancel(self, keys: list[TaskKey]) -> None:
        reason = "a task that it depends on did not end well"
        for key in keys:
            self._note(
                TaskChange(key, TaskState.CANCELED, self._clock.now(), reason, reason=reason)
            )

    def _note(self, news: TaskChange) -> None:
        was = self.latest[news.key].state
        if was is news.state or was in FINAL_TASK_STATES:
            return
        self.latest[news.key] = news
        self._show(news)
        if news.state in FINAL_TASK_STATES:
            for key in self._inside.get(news.key.task, ()):
                if self.latest[key].state not in FINAL_TASK_STATES:
                    self._note(left_behind(news, key, self.latest[key].state))
