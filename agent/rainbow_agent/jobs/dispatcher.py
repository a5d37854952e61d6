"""From the ledger to the workload manager: plan what is new, submit what is pending.

Write, submit, accept: a task is `submitting` on disk before it is sent to the workload
manager, and has its id on disk before rainbow gets AcceptJobs. Many submits are in flight; planning
the next jobs overlaps with them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from rainbow_agent.core.errors import SubmissionsHeld
from rainbow_agent.core.model import JobChange, Plan, TaskChange, TaskKey
from rainbow_agent.core.ports import Clock, StopSignal, Workload
from rainbow_agent.core.site import Site
from rainbow_agent.core.states import TaskState
from rainbow_agent.jobs.denials import Denied
from rainbow_agent.jobs.order import dependency_failed, held_back
from rainbow_agent.jobs.planner import FIRST_PORTION, Planned, Planner
from rainbow_agent.jobs.ports import Submissions
from rainbow_agent.jobs.submitter import MAX_IN_FLIGHT, JobMark, Submitter
from rainbow_agent.runtime.fault_injection import CrashPoint, reach

log = logging.getLogger(__name__)

#: Changes gathered before they are written.
MAX_UNWRITTEN = 256
#: Seconds that one wait for answers may take.
_COLLECT_TIMEOUT_S = 0.5


class Dispatcher:
    """Plans and submits; one call of `run()` empties what is there.

    Args:
        ledger: where the jobs are.
        workload: where they go; closed with this.
        plan_text: the plan of a jobspec's text, which may raise JobspecError.
        site: the nodes that there are now.
        environment: of jobs, underneath their own.
        clock: for what is written.
        grace: seconds after a stop in which what was begun is finished.
        on_change: is given jobs whose state moved.
        cluster: whose jobs these are.
    """

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
        self._ledger = ledger
        self._workload = workload
        self._clock = clock
        self._grace = grace
        self._on_change = on_change
        self._changes: list[TaskChange] = []
        self._held: str | None = None  # why the workload manager takes no job at all
        self._marked: set[TaskKey] = set()  # submitting, without an answer yet
        self._looked_up: set[TaskKey] = set()  # refused once for what they depend on
        self.planner = Planner(
            ledger=ledger, plan_text=plan_text, site=site, clock=clock, record=self._record
        )
        self._submitter = Submitter(
            workload=workload,
            environment=environment,
            clock=clock,
            record=self._record,
            cluster=cluster,
            on_held=self._hold,
            on_dependency=self._look_up,
        )
        self._denied = Denied(
            ledger=ledger, plan_text=plan_text, site=site, pool=workload.resources, clock=clock
        )

    @property
    def wants_history(self) -> bool:
        """Whether the journal's history has to be read again (Planner.wants_history)."""
        return self.planner.wants_history

    @wants_history.setter
    def wants_history(self, wanted: bool) -> None:
        self.planner.wants_history = wanted

    def nothing_offered(self) -> None:
        """Rainbow has no more rows: what waits for one of them fails with the next run."""
        self.planner.all_offered = True

    def recover(self) -> int:
        """After a crash: what is marked submitting and not in the workload manager is pending.

        To be called once the journal has caught up and nothing of ours is in flight (run() what
        is unfinished before). Returns how many tasks went back.
        """
        rows = self._ledger.tasks_in({TaskState.SUBMITTING})
        self._back_to_pending([row.key for row in rows], "the workload manager does not have it")
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
        return self.planner.behind()

    def look_at_denied(self) -> None:
        """Decide which of the tasks that the scheduler denied are to be submitted again now.

        Raises:
            WorkloadUnavailable, NotDescribed: the nodes cannot be looked at.
        """
        never = self._denied.look()
        if never:
            self._record(never)
            self._flush()

    def unfinished(self) -> bool:
        """Whether the last run left submissions that were begun."""
        return self._submitter.unfinished()

    def run(self, stop: StopSignal, turn: float = float("inf")) -> None:
        """Submit all that is pending; after a stop, only what was begun.

        Args:
            stop: when to stop.
            turn: seconds after which it returns although answers are still awaited, if all jobs
                have been begun; the next run continues. In a long chain each task waits for the id
                of the one before, and nothing else should have to.

        Raises:
            WorkloadUnavailable: what is in flight stays `submitting`; recover() after the
                journal has caught up again.
            SubmissionsHeld: the workload manager takes no job at all; nothing is in flight, and
                what it did not take is pending.
        """
        if not self.unfinished():
            self._forget()
        # While nothing is taken, one job at a time is tried.
        portions = self.planner.portions(1 if self._held else FIRST_PORTION)
        trying, self._held = self._held, None
        more, deadline, end = True, float("inf"), self._clock.monotonic() + turn
        while more or self.unfinished():
            if stop.is_set():
                more, deadline = False, min(deadline, self._clock.monotonic() + self._grace)
                if self._clock.monotonic() >= deadline:
                    break
            elif not more and self._clock.monotonic() >= end:
                break
            hungry = not self.unfinished() if trying else self._is_hungry()
            if more and hungry:
                more = self._begin(next(portions, None))
            self._submitter.send()
            self._submitter.collect(0.0 if more and hungry else _COLLECT_TIMEOUT_S)
            if len(self._changes) >= MAX_UNWRITTEN:
                self._flush()
            if self._held:
                more = False
        self._flush()
        if not self.unfinished():
            self._settle_marked()
            self._forget()

    def _is_hungry(self) -> bool:
        few = self._submitter.queued < FIRST_PORTION
        return few and self._workload.in_flight() < MAX_IN_FLIGHT // 2

    def _begin(self, planned: Planned | None) -> bool:
        """Mark a portion's pending tasks as submitting; queue what can go. False at the end."""
        if planned is None:
            return False
        keys = []
        for _, rows in planned.values():
            top = [row for row in rows if row.group is None]
            held = held_back(top)
            keys += [r.key for r in top if r.state is TaskState.PENDING and r.key not in held]
        at = self._clock.now()
        self._ledger.apply(
            [TaskChange(k, TaskState.SUBMITTING, at, "about to be submitted") for k in keys]
        )
        self._marked.update(keys)
        reach(CrashPoint.MARKED)
        names = self._ledger.names(list(planned))
        digests = self._ledger.row_digests(list(planned))
        for key, (plan, rows) in planned.items():
            named = JobMark(names.get(key, ""), digests.get(key, ""))
            self._submitter.add(key, plan, rows, named)
        return True

    def _record(self, changes: list[TaskChange]) -> None:
        self._changes += changes
        for change in changes:
            self._marked.discard(change.key)
            if change.state is TaskState.FAILED:
                log.warning(
                    "Task %s cannot be submitted: %s",
                    change.key,
                    change.reason,
                    extra={"action": "submit_refused", "job": str(change.key.job)},
                )

    def _hold(self, reason: str) -> None:
        """The workload manager takes no job at all: send no more."""
        self._held = reason
        self._submitter.drop_queue()

    def _look_up(self, key: TaskKey) -> bool:
        """Whether it is to be looked up how that ended which a task depends on.

        The workload manager refuses the task because of it, and the ledger does not know yet: it
        may have been denied. Once for each task: what its jobspec depends on beside the plan is
        not ours to know.
        """
        if key in self._looked_up or dependency_failed(key.task, self._ledger.tasks_of(key.job)):
            return False
        self._looked_up.add(key)
        self.planner.wants_history = True
        return True

    def _settle_marked(self) -> None:
        """Nothing is in flight: what was marked and not taken is pending again.

        Raises:
            SubmissionsHeld: the workload manager takes no jobs.
        """
        if self._marked:
            cause = (
                f"the workload manager takes no jobs now: {self._held}"
                if self._held is not None
                else "what it depends on is looked up first"
            )
            self._back_to_pending(sorted(self._marked), cause)
        if self._held is not None:
            raise SubmissionsHeld(self._held)

    def _back_to_pending(self, keys: Sequence[TaskKey], cause: str) -> None:
        at = self._clock.now()
        self._ledger.apply([TaskChange(key, TaskState.PENDING, at, cause) for key in keys])

    def _forget(self) -> None:
        """Nothing of a job is kept when its tasks are in the workload manager: plans are large."""
        self._submitter.clear()
        self._changes.clear()
        self._marked.clear()

    def _flush(self) -> None:
        if self._changes:
            changes = self._ledger.apply(self._changes)
            reach(CrashPoint.RECORDED)
            self._changes.clear()
            if changes:
                self._on_change(changes)
