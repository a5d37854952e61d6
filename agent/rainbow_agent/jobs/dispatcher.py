"""From the ledger to the workload manager: plan what is new, submit what is pending.

Write, submit, accept: a task is `submitting` on disk before the workload manager hears of it,
and has its id on disk before rainbow is told. Many submits are in flight; planning the next jobs
overlaps with them.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.model import (
    JobChange,
    JobKey,
    Origin,
    Plan,
    PlannedJob,
    PlannedTask,
    Refusal,
    Submission,
    SubmitOutcome,
    Submitted,
    TaskChange,
    TaskKey,
    TaskKind,
    TaskRow,
)
from rainbow_agent.core.ports import Clock, StopSignal, Workload
from rainbow_agent.core.site import Site
from rainbow_agent.core.states import TaskState
from rainbow_agent.jobs.order import JobOrder, Ready, rows_of
from rainbow_agent.jobs.ports import Submissions
from rainbow_agent.jobspec.placement import needs_site, place
from rainbow_agent.jobspec.unplaceable import Unplaceable
from rainbow_agent.runtime.fault_injection import CrashPoint, reach
from rainbow_agent.storage.ledger_rebuild import STRAYS

log = logging.getLogger(__name__)

#: Jobs planned and marked in one transaction: few at first, so that the workload manager has work
#: while the next are planned, then twice as many each time, up to the most. Flux does better with
#: larger portions: smaller ones keep it from ever having a burst.
CHUNK = 128
MOST = 1024
#: Submissions in flight at most. Flux takes a burst with less work than the same jobs one by one.
WINDOW = 2048
#: News gathered before it is written.
FLUSH = 256


class Dispatcher:
    """Plans and submits; one call of `run()` empties what is there."""

    def __init__(
        self,
        *,
        ledger: Submissions,
        workload: Workload,
        plan_text: Callable[[str], Plan],
        site: Callable[[], Site],
        environment: Mapping[str, str],
        clock: Clock,
        grace: float,
        on_change: Callable[[list[JobChange]], None],
        cluster: str = "",
    ) -> None:
        self._cluster = cluster
        self._names: dict[JobKey, str] = {}
        #: Set when tasks of a job that was just planned are in the workload manager already (the
        #: ledger was lost): the journal's history has to be read again before more is submitted.
        self.wants_history = False
        self._ledger = ledger
        self._workload = workload
        self._plan_text = plan_text
        self._site = site
        self._environment = environment
        self._clock = clock
        self._grace = grace
        self._on_change = on_change
        self._ready: deque[Ready] = deque()
        self._orders: dict[JobKey, JobOrder] = {}
        self._sent: dict[TaskKey, float] = {}  # when, by our clock
        self._news: list[TaskChange] = []

    def recover(self) -> int:
        """After a crash: what is marked submitting and not in the workload manager is pending.

        To be called once the journal has caught up and nothing of ours is in flight (run() what
        is unfinished before). Returns how many tasks went back.
        """
        at = self._clock.now()
        cause = "the workload manager does not have it"
        rows = self._ledger.tasks_in({TaskState.SUBMITTING})
        self._ledger.apply([TaskChange(r.key, TaskState.PENDING, at, cause) for r in rows])
        if rows:
            reach(CrashPoint.RECOVERED)
            log.warning(
                "Tasks that were about to be submitted are submitted again",
                extra={"action": "recovered", "tasks": len(rows)},
            )
        return len(rows)

    def close(self) -> None:
        """End the connection to the workload manager; jobs go on."""
        self._workload.close()

    def cancel(self, flux_ids: Sequence[int], note: str) -> None:
        """End jobs in the workload manager.

        Raises:
            WorkloadUnavailable: it cannot be reached; some may have ended.
        """
        self._workload.cancel(flux_ids, note)

    def behind(self) -> bool:
        """Whether there is work that is not in the workload manager yet."""
        return bool(self._ledger.unplanned() or self._ledger.tasks_in({TaskState.PENDING}))

    def unfinished(self) -> bool:
        """Whether the last run left submissions that were begun."""
        return bool(self._ready or self._workload.in_flight())

    def run(self, stop: StopSignal, turn: float = float("inf")) -> None:
        """Submit all that is pending; after a stop, only what was begun.

        Args:
            stop: when to stop.
            turn: seconds after which it returns although answers are still awaited, if all jobs
                have been begun; the next run goes on. In a long chain each task waits for the id
                of the one before, and nobody else should have to.

        Raises:
            WorkloadUnavailable: what is in flight stays `submitting`; recover() after the
                journal has caught up again.
        """
        if not self.unfinished():
            self._forget()
        chunks = self._chunks()
        more, deadline, end = True, float("inf"), self._clock.monotonic() + turn
        while more or self.unfinished():
            if stop.is_set():
                more, deadline = False, min(deadline, self._clock.monotonic() + self._grace)
                if self._clock.monotonic() >= deadline:
                    break
            elif not more and self._clock.monotonic() >= end:
                break
            hungry = len(self._ready) < CHUNK and self._workload.in_flight() < WINDOW // 2
            if more and hungry:
                more = self._begin(next(chunks, None))
            while self._ready and self._workload.in_flight() < WINDOW:
                self._start(self._ready.popleft())
            self._collect(0.0 if more and hungry else 0.5)
        self._flush()

    def _collect(self, timeout: float) -> None:
        """Take answers in; what was learned is written now and then."""
        if self._workload.in_flight():
            for outcome in self._workload.collect_outcomes(timeout):
                self._settle(outcome)
        if len(self._news) >= FLUSH:
            self._flush()

    def plan_new(self, keys: Sequence[JobKey]) -> dict[JobKey, Plan]:
        """Plan received jobs; refuse those that cannot be planned, with the reason."""
        texts = self._ledger.jobspecs(keys)
        planned: list[PlannedJob] = []
        refused: list[Refusal] = []
        known: dict[str, Plan] = {}  # many jobs of one text, as in an ensemble: planned once
        for key in keys:
            text = texts[key]
            try:
                if text not in known:
                    known[text] = self._plan(text)
                planned.append(PlannedJob(key, known[text]))
            except JobspecError as exc:
                refused.append(Refusal(key, str(exc)))
                log.warning(
                    "Refused job %d: %s", key.id, exc, extra={"action": "refused", "job": str(key)}
                )
        with self._ledger.transaction():
            self._ledger.record_plans(planned, refused, self._clock.now())
            strays = self._mark_strays({p.key for p in planned})
        reach(CrashPoint.PLANNED)
        return {p.key: p.plan for p in planned if p.key not in strays}

    def _mark_strays(self, planned: Collection[JobKey]) -> set[JobKey]:
        """Mark tasks that the workload manager has already; the jobs that have any."""
        noted = (TaskKey.from_attribute(each) for each in self._ledger.note(STRAYS) or ())
        found = [key for key in noted if key is not None and key.job in planned]
        at, cause = self._clock.now(), "the workload manager has it already: the ledger was lost"
        self._ledger.apply([TaskChange(k, TaskState.SUBMITTING, at, cause) for k in found])
        self.wants_history = self.wants_history or bool(found)
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
                self._give_up(rows, "its jobspec is lost: the ledger was rebuilt without it")
                continue
            try:
                plan = self._plan(texts[key])
            except Unplaceable as exc:
                self._give_up(rows, f"it was half submitted: {exc}", unsatisfiable=True)
                continue
            except JobspecError as exc:
                self._give_up(rows, f"this version of the agent cannot plan the job: {exc}")
                continue
            if {t.name for t, _ in plan.every_task()} == {row.key.task for row in rows}:
                plans[key] = plan
            else:
                self._give_up(rows, "this version of the agent plans other tasks than before")
        return plans

    def _plan(self, text: str) -> Plan:
        """The plan of a job on the nodes that there are now (docs/decisions/0021)."""
        plan = self._plan_text(text)
        return place(plan, self._site()) if needs_site(plan) else plan

    def _give_up(
        self, rows: Iterable[TaskRow], reason: str, *, unsatisfiable: bool = False
    ) -> None:
        at = self._clock.now()
        self._news += [
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

    def _forget(self) -> None:
        self._ready.clear()
        self._orders.clear()
        self._names.clear()
        self._sent.clear()
        self._news.clear()

    def _chunks(self) -> Iterator[dict[JobKey, tuple[Plan, list[TaskRow]]]]:
        """Jobs with pending tasks, some at a time: the half submitted first, then the new."""
        pending = self._ledger.tasks_in({TaskState.PENDING})
        begun = [key for key, _ in groupby(pending, key=lambda row: row.key.job)]
        for keys in _portions(begun):
            plans = self._plan_again(keys)
            yield {key: (plan, self._ledger.tasks_of(key)) for key, plan in plans.items()}
        for keys in _portions(self._ledger.unplanned()):
            plans = self.plan_new(keys)
            yield {key: (plan, rows_of(plan, key)) for key, plan in plans.items()}

    def _begin(self, chunk: dict[JobKey, tuple[Plan, list[TaskRow]]] | None) -> bool:
        """Mark a chunk's pending tasks as submitting; queue what can go. False at the end."""
        if chunk is None:
            return False
        at = self._clock.now()
        marks = [
            TaskChange(row.key, TaskState.SUBMITTING, at, "about to be submitted")
            for _, rows in chunk.values()
            for row in rows
            if row.state is TaskState.PENDING and row.group is None
        ]
        self._ledger.apply(marks)
        reach(CrashPoint.MARKED)
        self._names |= self._ledger.names(list(chunk))
        for key, (plan, rows) in chunk.items():
            order = self._orders[key] = JobOrder(plan, rows)
            ready, doomed = order.start()
            self._ready += ready
            self._cancel(doomed)
        return True

    def _start(self, ready: Ready) -> None:
        job = ready.key.job
        place, tasks = self._orders[job].place(ready.key.task)
        task = ready.task
        origin = Origin(
            self._cluster, self._names.get(job, ""), place, task.replicas, tasks, task.depends_on
        )
        jobspec = complete(task, ready.key, self._environment, origin)
        self._sent[ready.key] = self._clock.now()
        self._workload.start_submit(Submission(ready.key, jobspec, ready.afterok))
        reach(CrashPoint.SENT)

    def _settle(self, outcome: SubmitOutcome) -> None:
        order = self._orders[outcome.key.job]
        # When it was sent: by the time of the answer the task may have started, or be over.
        sent = self._sent.pop(outcome.key)
        if isinstance(outcome, Submitted):
            reach(CrashPoint.SUBMITTED)
            self._ready += order.submitted(outcome.key, outcome.flux_id)
            self._news.append(
                TaskChange(
                    outcome.key, TaskState.SUBMITTED, sent, "submitted", flux_id=outcome.flux_id
                )
            )
            return
        # Flux refuses a dependency that has failed meanwhile: no fault of this task.
        doomed = outcome.reason.startswith("dependency")
        at = self._clock.now()
        log.warning(
            "The workload manager refused task %s: %s",
            outcome.key,
            outcome.reason,
            extra={"action": "submit_refused", "job": str(outcome.key.job)},
        )
        self._news.append(
            TaskChange(
                outcome.key,
                TaskState.CANCELED if doomed else TaskState.FAILED,
                at,
                outcome.reason,
                reason=outcome.reason,
                finished=at,
                unsatisfiable=not doomed,
            )
        )
        self._cancel(order.refused(outcome.key.task))

    def _cancel(self, keys: Iterable[TaskKey]) -> None:
        at, reason = self._clock.now(), "a task that it depends on did not end well"
        self._news += [
            TaskChange(key, TaskState.CANCELED, at, reason, reason=reason, finished=at)
            for key in keys
        ]

    def _flush(self) -> None:
        if self._news:
            changes = self._ledger.apply(self._news)
            reach(CrashPoint.RECORDED)
            self._news.clear()
            if changes:
                self._on_change(changes)


def _portions(keys: Sequence[JobKey]) -> Iterator[Sequence[JobKey]]:
    start, size = 0, CHUNK
    while start < len(keys):
        yield keys[start : start + size]
        start, size = start + size, min(size * 2, MOST)


#: In the environment of a group's runner: the key that it goes by, as in its user attributes.
GROUP_KEY = "RAINBOW_GROUP_KEY"


def complete(
    task: PlannedTask,
    key: TaskKey,
    environment: Mapping[str, str],
    origin: Origin | None = None,
) -> dict[str, Any]:
    """A planned jobspec with the host's environment underneath its own, our key and origin.

    The plan's mapping is shared by all replicas and is left as it is. So is `environment`, which
    is not copied for a job without its own: who writes it out does that once for all of them.
    """
    jobspec, mark = task.jobspec, key.to_attribute()
    attributes = dict(jobspec.get("attributes") or {})
    system = dict(attributes.get("system") or {})
    own = system.get("environment")
    if task.kind is TaskKind.GROUP:
        mark["group"] = True
        own = {**(own or {}), GROUP_KEY: json.dumps(mark)}
    system["environment"] = {**environment, **own} if own else environment
    attributes["system"] = system
    if origin is not None:
        mark = {**mark, "origin": origin.to_attribute()}
    attributes["user"] = {**(attributes.get("user") or {}), "rainbow": mark}
    return {**jobspec, "attributes": attributes}
