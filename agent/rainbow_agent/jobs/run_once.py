"""`rainbow-agent run`: one jobspec straight to the workload manager, with the same planner.

No rainbow and no ledger: the jobs are the workload manager's, this process watches them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from rainbow_agent.core.group_events import left_behind
from rainbow_agent.core.model import (
    JobKey,
    JobRow,
    Plan,
    TaskChange,
    TaskKey,
    TaskRow,
)
from rainbow_agent.core.ports import Clock, Journal, StopSignal, Workload
from rainbow_agent.core.states import FINAL_TASK_STATES, JobState, TaskState
from rainbow_agent.jobs.order import rows_of
from rainbow_agent.jobs.submitter import Submitter
from rainbow_agent.jobs.tracker import Tracker

#: Seconds that one wait for answers or events may take.
_TIMEOUT_S = 0.5


class Run:
    """One plan on its way. `show` is called with every change."""

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
        self._show = show
        rows = rows_of(plan, key)
        self._plan, self._key, self._rows = plan, key, rows
        self._begun = clock.now()
        self._now = {row.key: row for row in rows}
        self._submitter = Submitter(
            workload=workload,
            environment=environment,
            clock=clock,
            record=self._record,
        )
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
        self._submitter.add(self._key, self._plan, self._rows)
        while self._submitter.unfinished() and not stop.is_set():
            self._submitter.send()
            self._submitter.collect(_TIMEOUT_S)

    def watch(self, journal: Journal, stop: StopSignal) -> None:
        """Follow until every task is over."""
        tracker = Tracker()
        while not stop.is_set() and not self.over():
            for event in journal.next_events(_TIMEOUT_S):
                news = tracker.feed(event)
                if news is not None and news.key in self.latest:
                    self._note(news)

    def over(self) -> bool:
        """Whether every task is in a final state."""
        return all(news.state in FINAL_TASK_STATES for news in self.latest.values())

    def job(self, *, canceled: bool = False) -> JobRow:
        """All of it as a job of the ledger.

        Args:
            canceled: whether it was canceled here, which decides how it ended.
        """
        tasks = tuple(self._now[row.key] for row in self._rows)
        ends = [task.finished for task in tasks if task.finished is not None]
        state, reason = JobState.RUNNING, None
        if canceled:
            state = JobState.CANCELED
        elif self.over():
            bad = [task for task in tasks if task.state is not TaskState.COMPLETED]
            state = JobState.FAILED if bad else JobState.COMPLETED
            reason = next((task.reason for task in bad if task.reason), None)
        return JobRow(
            self._key,
            self._plan.name or "",
            state,
            reason,
            received=self._begun,
            accepted=None,
            finished=max(ends, default=None) if state is not JobState.RUNNING else None,
            tasks=tasks,
        )

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

    def _record(self, changes: list[TaskChange]) -> None:
        for change in changes:
            self._note(change)

    def _note(self, news: TaskChange) -> None:
        was = self.latest[news.key].state
        if (was is news.state and not news.again) or was in FINAL_TASK_STATES:
            return
        self.latest[news.key] = news
        self._now[news.key] = _with(self._now[news.key], news)
        self._show(news)
        if news.state in FINAL_TASK_STATES:
            for key in self._inside.get(news.key.task, ()):
                if self.latest[key].state not in FINAL_TASK_STATES:
                    self._note(left_behind(news, key, self.latest[key].state))


def _with(row: TaskRow, news: TaskChange) -> TaskRow:
    """A task after its news."""
    over = news.state in FINAL_TASK_STATES
    started = news.started or (news.at if news.state is TaskState.RUNNING else None)
    return replace(
        row,
        state=news.state,
        flux_id=row.flux_id if news.flux_id is None else news.flux_id,
        exit_code=news.exit_code,
        reason=news.reason,
        submitted=news.at if news.state is TaskState.SUBMITTED else row.submitted,
        started=started or row.started,
        finished=(news.finished or news.at) if over else None,
    )
