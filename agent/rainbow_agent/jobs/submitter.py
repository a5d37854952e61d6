"""The one way of planned jobs into a workload manager: for the daemon, a group's runner and `run`.

Each task is sent as soon as what it depends on has its job ids; many are in flight. What came of
each goes to the caller, as TaskChanges: the daemon writes them into its ledger, the others keep
them in memory.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from rainbow_agent.core.model import (
    JobKey,
    Origin,
    Plan,
    PlannedTask,
    TaskChange,
    TaskKey,
    TaskKind,
    TaskRow,
)
from rainbow_agent.core.ports import Clock, Workload
from rainbow_agent.core.states import TaskState
from rainbow_agent.core.workload_values import (
    Submission,
    SubmitHeld,
    SubmitOutcome,
    SubmitRefused,
    Submitted,
)
from rainbow_agent.jobs.order import JobOrder, Ready
from rainbow_agent.runtime.fault_injection import CrashPoint, reach

#: Submissions in flight at most. Flux takes a burst with less work than the same jobs one by one.
MAX_IN_FLIGHT = 2048
#: Why a task is canceled whose dependency failed.
DEPENDENCY_FAILED = "a task that it depends on did not end well"
#: In the environment of a group's runner: the key that it goes by, as in its user attributes.
GROUP_KEY = "RAINBOW_GROUP_KEY"


class JobMark(NamedTuple):
    """What each of a job's tasks says of it in the workload manager, beside its key."""

    name: str = ""
    row: str = ""  # the digest of rainbow's row (Origin.row)


NO_MARK = JobMark()


class Submitter:
    """Sends tasks in their jobs' order, and takes the answers.

    Args:
        workload: where to.
        environment: of jobs, underneath their own.
        clock: for what is recorded.
        record: is given what came of tasks.
        cluster: whose jobs these are, for their origin; "" where they are not looked for again.
        in_group: whether the tasks are those in a group.
        start_elsewhere: is given each task that can start; True when it was started, or ended, in
            another way.
        on_dependency: is asked about a task that is refused for what it depends on: True when that
            has to be looked up first, and the task is pending again.
        on_held: is called when the workload manager takes no job at all at present; the task is
            pending again then. Without it, such a task fails.
    """

    def __init__(
        self,
        *,
        workload: Workload,
        environment: Mapping[str, str],
        clock: Clock,
        record: Callable[[list[TaskChange]], None],
        cluster: str = "",
        in_group: bool = False,
        start_elsewhere: Callable[[Ready], bool] | None = None,
        on_held: Callable[[str], None] | None = None,
        on_dependency: Callable[[TaskKey], bool] = lambda _: False,
    ) -> None:
        self._workload = workload
        self._environment = environment
        self._clock = clock
        self._record = record
        self._cluster = cluster
        self._in_group = in_group
        self._start_elsewhere = start_elsewhere
        self._on_held = on_held
        self._on_dependency = on_dependency
        self._ready: deque[Ready] = deque()
        self._orders: dict[JobKey, JobOrder] = {}
        self._marks: dict[JobKey, JobMark] = {}
        self._sent: dict[TaskKey, float] = {}  # when, by our clock

    @property
    def queued(self) -> int:
        """Tasks that can be sent now and were not."""
        return len(self._ready)

    def unfinished(self) -> bool:
        """Whether tasks can be sent, or answers are awaited."""
        return bool(self._ready or self._workload.in_flight())

    def add(
        self, key: JobKey, plan: Plan, rows: Sequence[TaskRow], mark: JobMark = NO_MARK
    ) -> None:
        """Take a job in: its plan, its tasks as they are (jobs/order.py), what they say of it."""
        order = self._orders[key] = JobOrder(plan, rows)
        self._marks[key] = mark
        ready, doomed = order.start()
        self._ready += ready
        self._cancel(doomed)

    def send(self) -> None:
        """Send what can be sent, as far as there may be more in flight.

        Raises:
            WorkloadUnavailable: the fate of what is in flight is not known.
        """
        while self._ready and self._workload.in_flight() < MAX_IN_FLIGHT:
            ready = self._ready.popleft()
            if self._start_elsewhere is None or not self._start_elsewhere(ready):
                self._send(ready)

    def collect(self, timeout: float) -> None:
        """Take answers in, if any are awaited; waits up to `timeout` seconds for the first.

        Raises:
            WorkloadUnavailable: the fate of what is in flight is not known.
        """
        if self._workload.in_flight():
            for outcome in self._workload.collect_outcomes(timeout):
                self._take(outcome)

    def ended(self, key: TaskKey, *, well: bool) -> None:
        """A replica is over: for users that wait for ends in the workload manager's place."""
        ready, doomed = self._orders[key.job].ended(key, well=well)
        self._ready += ready
        self._cancel(doomed)

    def drop_queue(self) -> None:
        """Send no more of what was taken in; what is in flight stays."""
        self._ready.clear()

    def clear(self) -> None:
        """Forget all jobs."""
        self._ready.clear()
        self._orders.clear()
        self._marks.clear()
        self._sent.clear()

    def _send(self, ready: Ready) -> None:
        key, task, origin = ready.key, ready.task, None
        if self._cluster:
            order = self._orders[key.job]
            place, tasks = order.place(key.task)
            (name, row), needs = self._marks[key.job], task.depends_on
            origin = Origin(
                self._cluster, name, place, task.replicas, tasks, needs, order.once, row
            )
        jobspec = complete(task, key, self._environment, origin)
        self._sent[key] = self._clock.now()
        self._workload.start_submit(Submission(key, jobspec, ready.afterok))
        reach(CrashPoint.SENT)

    def _take(self, outcome: SubmitOutcome) -> None:
        key, order = outcome.key, self._orders[outcome.key.job]
        # When it was sent: by the time of the answer the task may have started, or be over.
        sent = self._sent.pop(key)
        if isinstance(outcome, Submitted):
            reach(CrashPoint.SUBMITTED)
            change = TaskChange(
                key,
                TaskState.SUBMITTED,
                sent,
                "submitted",
                flux_id=outcome.flux_id,
                inside=self._in_group,
            )
            self._record([change])
            self._ready += order.submitted(key, outcome.flux_id)
        elif isinstance(outcome, SubmitHeld) and self._on_held is not None:
            self._put_back(key, f"the workload manager takes no jobs now: {outcome.reason}")
            self._on_held(outcome.reason)
        else:
            # A dependency that has failed meanwhile is not the fault of this task.
            doomed = isinstance(outcome, SubmitRefused) and outcome.dependency_failed
            if doomed and self._on_dependency(key):
                self._put_back(key, outcome.reason)
                return
            state = TaskState.CANCELED if doomed else TaskState.FAILED
            self._record([self._end(key, state, outcome.reason, unsatisfiable=not doomed)])
            self._cancel(order.refused(key.task))

    def _put_back(self, key: TaskKey, cause: str) -> None:
        at = self._clock.now()
        self._record([TaskChange(key, TaskState.PENDING, at, cause, inside=self._in_group)])

    def _cancel(self, keys: Iterable[TaskKey]) -> None:
        changes = [self._end(key, TaskState.CANCELED, DEPENDENCY_FAILED) for key in keys]
        if changes:
            self._record(changes)

    def _end(
        self, key: TaskKey, state: TaskState, reason: str, *, unsatisfiable: bool = False
    ) -> TaskChange:
        at = self._clock.now()
        return TaskChange(
            key,
            state,
            at,
            reason,
            reason=reason,
            finished=at,
            inside=self._in_group,
            unsatisfiable=unsatisfiable,
        )


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
