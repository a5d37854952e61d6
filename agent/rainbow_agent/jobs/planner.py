"""From the ledger to plans: jobs that are new, and jobs that were half submitted before a crash."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import groupby

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.model import (
    JobKey,
    Plan,
    PlannedJob,
    Refusal,
    TaskChange,
    TaskKey,
    TaskRow,
)
from rainbow_agent.core.ports import Clock
from rainbow_agent.core.site import Site
from rainbow_agent.core.states import TaskState
from rainbow_agent.jobs.order import held_back, rows_of
from rainbow_agent.jobs.ports import Submissions
from rainbow_agent.jobspec.handle import without_line
from rainbow_agent.jobspec.placement import needs_site, place
from rainbow_agent.jobspec.unplaceable import Unplaceable
from rainbow_agent.runtime.fault_injection import CrashPoint, reach
from rainbow_agent.storage.ledger_rebuild import STRAYS

log = logging.getLogger(__name__)

#: Jobs planned and marked in one transaction: few at first, so that the workload manager has work
#: while the next are planned, then twice as many each time, up to the most. Flux does better with
#: larger portions: smaller ones keep it from ever having a burst.
FIRST_PORTION = 128
MAX_PORTION = 1024

#: A place in a jobspec by path and line. Senders write a jobspec anew (`submit` in a form that
#: rainbow can store), so its lines here are not those of anybody's file; its paths are.
_LINES = re.compile(r"(\S) \(line \d+, column \d+\):")

#: Plans with the rows of their tasks.
Planned = dict[JobKey, tuple[Plan, list[TaskRow]]]


class Planner:
    """Plans the jobs of a ledger.

    Args:
        ledger: where the jobs are, and where their tasks go.
        plan_text: the plan of a jobspec's text, which may raise JobspecError.
        site: the nodes that there are now.
        clock: for what is written.
        record: is given tasks that fail because their job cannot be planned again.
    """

    def __init__(
        self,
        *,
        ledger: Submissions,
        plan_text: Callable[[str], Plan],
        site: Callable[[], Site],
        clock: Clock,
        record: Callable[[list[TaskChange]], None],
    ) -> None:
        self._ledger = ledger
        self._plan_text = plan_text
        self._site = site
        self._clock = clock
        self._record = record
        #: Set when tasks of a job that was just planned are in the workload manager already (the
        #: ledger was lost): the journal's history has to be read again before more is submitted.
        self.wants_history = False
        #: Set when rainbow has offered all that it has: other jobspecs never come again.
        self.all_offered = False
        self._awaited: set[JobKey] = set()  # jobs that wait for theirs, which the log has said

    def behind(self) -> bool:
        """Whether there is something to plan or to submit now."""
        return bool(self._ledger.unplanned() or self._begun())

    def portions(self, first: int = FIRST_PORTION) -> Iterator[Planned]:
        """Jobs with pending tasks, some at a time: the half submitted first, then the new.

        Args:
            first: how many the first portion has; each has twice as many as the one before.
        """
        for keys in _portions(self._begun(), first):
            plans = self._plan_again(keys)
            yield {key: (plan, self._ledger.tasks_of(key)) for key, plan in plans.items()}
        for keys in _portions(self._ledger.unplanned(), first):
            plans = self.plan_new(keys)
            yield {key: (plan, rows_of(plan, key)) for key, plan in plans.items()}

    def _begun(self) -> list[JobKey]:
        """Jobs that were planned before, and have something to be submitted now.

        One that was found in the workload manager has no jobspec until rainbow offers its row
        again. Its tasks wait for that, should the workload manager be replaced before.
        """
        pending = self._ledger.tasks_in({TaskState.PENDING})
        due = [key for key, rows in groupby(pending, key=lambda row: row.key.job) if _due([*rows])]
        if self.all_offered or not due:
            return due
        awaited = self._ledger.awaited().intersection(due)
        for key in sorted(awaited - self._awaited):
            log.warning(
                "Job %s is submitted again once rainbow has offered its row again: it was found in"
                " the workload manager, which is gone, and its jobspec is not here",
                key,
                extra={"action": "row_awaited", "job": str(key)},
            )
        self._awaited |= awaited
        return [key for key in due if key not in awaited]

    def plan_new(self, keys: Sequence[JobKey]) -> dict[JobKey, Plan]:
        """Plan received jobs; refuse those that cannot be planned, with the reason."""
        texts = self._ledger.jobspecs(keys)
        planned: list[PlannedJob] = []
        refused: list[Refusal] = []
        known: dict[str, Plan] = {}  # many jobs of one text, as in an ensemble: planned once
        for key in keys:
            text = without_line(texts[key])
            try:
                if text not in known:
                    known[text] = self._plan(text)
                planned.append(PlannedJob(key, known[text]))
            except JobspecError as exc:
                refused.append(Refusal(key, _LINES.sub(r"\1:", str(exc))))
                _log_refusal(refused[-1])
        with self._ledger.transaction():
            again = self._ledger.record_plans(planned, refused, self._clock.now())
            left = {p.key for p in planned} - {refusal.key for refusal in again}
            left -= self._mark_strays(left)
        reach(CrashPoint.PLANNED)
        for refusal in again:
            _log_refusal(refusal)
        return {p.key: p.plan for p in planned if p.key in left}

    def _mark_strays(self, planned: Collection[JobKey]) -> set[JobKey]:
        """Mark tasks that the workload manager has already; the jobs that have any."""
        noted = (TaskKey.from_attribute(each) for each in self._ledger.note(STRAYS) or ())
        found = [key for key in noted if key is not None and key.job in planned]
        at, cause = self._clock.now(), "the workload manager has it already: the ledger was lost"
        self._ledger.apply([TaskChange(k, TaskState.SUBMITTING, at, cause) for k in found])
        self.wants_history = self.wants_history or bool(found)
        for job in {key.job for key in found}:
            rows = self._ledger.tasks_of(job)
            if not {key for key in found if key.job == job} <= {row.key for row in rows}:
                self._give_up(rows, "this version of the agent plans other tasks than before")
        return {key.job for key in found}

    def _plan_again(self, keys: Sequence[JobKey]) -> dict[JobKey, Plan]:
        """The plans of jobs that were planned before a crash; planning is pure, so: the same.

        What is still to be submitted goes to the nodes that pass now. Another version of the agent
        may read a jobspec differently: such a job is not mixed up with what it was, its pending
        tasks fail with that reason.
        """
        texts = self._ledger.jobspecs(keys)
        plans: dict[JobKey, Plan] = {}
        for key in keys:
            rows = self._ledger.tasks_of(key)
            if key not in texts:  # it was found in the workload manager, not received
                self._give_up(
                    rows, "its jobspec is lost: it is neither in the ledger nor in rainbow any more"
                )
                continue
            try:
                plan = self._plan(texts[key])
            except Unplaceable as exc:
                self._give_up(rows, f"it was half submitted: {exc}", unsatisfiable=True)
                continue
            except JobspecError as exc:
                self._give_up(rows, f"this version of the agent cannot plan the job: {exc}")
                continue
            if self._completed(PlannedJob(key, plan), rows):
                plans[key] = plan
            else:
                self._give_up(rows, "this version of the agent plans other tasks than before")
        return plans

    def _completed(self, planned: PlannedJob, rows: Sequence[TaskRow]) -> bool:
        """Whether the rows of a job are those of its plan, once what is inside its groups is there.

        A job that was found in the workload manager has no rows inside its groups; its jobspec, and
        with it what they are, came later, with rainbow's row.
        """
        names = {task.name for task, _ in planned.plan.every_task()}
        there = {row.key.task for row in rows}
        outside = {row.key.task for row in rows if row.group is None}
        if outside != {task.name for task in planned.plan.tasks} or not there <= names:
            return False
        if there != names:
            self._ledger.record_inside(planned, self._clock.now())
        return True

    def _plan(self, text: str) -> Plan:
        """The plan of a job on the nodes that there are now (docs/decisions/0021)."""
        plan = self._plan_text(text)
        return place(plan, self._site()) if needs_site(plan) else plan

    def _give_up(
        self, rows: Iterable[TaskRow], reason: str, *, unsatisfiable: bool = False
    ) -> None:
        at = self._clock.now()
        failed = [
            TaskChange(
                row.key,
                TaskState.FAILED,
                at,
                reason,
                reason=reason,
                finished=at,
                unsatisfiable=unsatisfiable,
            )
            for row in rows
            if row.state is TaskState.PENDING and row.group is None
        ]
        self._record(failed)


def _due(pending: Sequence[TaskRow]) -> bool:
    """Whether some of a job's pending tasks wait for no node."""
    return len(held_back(pending)) < len(pending)


def _log_refusal(refusal: Refusal) -> None:
    key = refusal.key
    log.warning(
        "Refused job %d: %s",
        key.id,
        refusal.reason,
        extra={"action": "refused", "job": str(key)},
    )


def _portions(keys: Sequence[JobKey], first: int) -> Iterator[Sequence[JobKey]]:
    start, size = 0, first
    while start < len(keys):
        yield keys[start : start + size]
        start, size = start + size, min(size * 2, MAX_PORTION)
