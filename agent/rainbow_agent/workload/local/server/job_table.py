"""The rules of the local workload manager: which job may run now, and what its end means.

No clock, no I/O: times come in, events to be written come out. A job is

    blocked --(dependencies met)--> ready --(cores free)--> running --> over
       |                              |
       +---(dependency failed, cancel, can never fit)-----------------> over

and every way to `over` ends with a CLEAN event.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.workload.local.server.constraints import admits
from rainbow_agent.workload.local.server.machine import Machine
from rainbow_agent.workload.local.server.request import Dependency, DependencyKind, JobRequest

#: What Flux's journal calls the conditions in its notes.
_DESCRIPTIONS = {
    DependencyKind.AFTEROK: "after-success",
    DependencyKind.AFTERNOTOK: "after-failure",
    DependencyKind.AFTERANY: "after-finish",
}


RESTARTED = "the workload manager was restarted while the job ran; its exit status is lost"


class Phase(Enum):
    """Where an active job is."""

    BLOCKED = "blocked"
    READY = "ready"
    RUNNING = "running"


@dataclass
class Job:
    """One job that is not over."""

    id: int
    request: JobRequest
    cores: int  # that it takes while it runs
    waits_for: set[Dependency] = field(default_factory=set)
    phase: Phase = Phase.BLOCKED
    doomed: bool = False  # a fatal exception was raised: it will not end well


class JobTable:
    """All jobs that are not over, and how the others ended."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._free = machine.cores
        self._active: dict[int, Job] = {}
        self._ended_ok: dict[int, bool] = {}
        self._dependents: dict[int, list[int]] = {}
        self._ready: list[int] = []  # a heap of job ids: first submitted, first served

    @property
    def cores_free(self) -> int:
        """Cores that no running job holds."""
        return self._free

    def __len__(self) -> int:
        return len(self._active)

    def get(self, job_id: int) -> Job | None:
        """A job that is not over."""
        return self._active.get(job_id)

    def running(self) -> list[Job]:
        """Jobs that hold cores."""
        return [job for job in self._active.values() if job.phase is Phase.RUNNING]

    def recall(self, job_id: int, *, ok: bool) -> None:
        """Know of a job that ended in a former life of the server."""
        self._ended_ok[job_id] = ok

    def submit(self, job_id: int, request: JobRequest, now: float) -> list[WorkloadEvent]:
        """Take a job, with an id above all others.

        Raises:
            Rejected: it depends on a job that does not exist, or that ended already in a way
                that was not waited for. As in Flux, nothing remains of such a job.
        """
        waits_for = self._open_dependencies(request)
        reason = self._never_fits(request)
        submit = WorkloadEvent(
            EventKind.SUBMIT,
            job_id,
            now,
            key=request.key,
            origin=request.origin,
            group=request.group,
        )
        events = [submit]
        return events + self._take(job_id, request, waits_for, reason, now)

    def resume(self, job_id: int, request: JobRequest, now: float) -> list[WorkloadEvent]:
        """Take up a job again that a former life of the server had accepted and not started."""
        try:
            waits_for, reason = self._open_dependencies(request), self._never_fits(request)
        except Rejected as exc:
            return self._refuse(job_id, "dependency", str(exc), now)
        return self._take(job_id, request, waits_for, reason, now)

    def write_off(
        self, job_id: int, *, status: int | None, doomed: bool, now: float
    ) -> list[WorkloadEvent]:
        """A job that ran in a former life of the server, and cannot be waited for any more.

        Args:
            job_id: the job.
            status: its wait status when that is in the journal, and only its CLEAN is not.
            doomed: whether a fatal exception of it is in the journal.
            now: epoch seconds.
        """
        self._ended_ok[job_id] = status == 0 and not doomed
        events = [_clean(job_id, now)]
        if status is None and not doomed:
            events.insert(0, _exception(job_id, "exec", RESTARTED, now))
        return events

    def start_ready(self, now: float) -> tuple[list[Job], list[WorkloadEvent]]:
        """Start jobs in the order they were submitted, as long as their cores are free.

        A job that does not fit yet holds up those behind it, so that no big job starves.
        """
        started = []
        while self._ready:
            job = self._active.get(self._ready[0])
            if job is None or job.phase is not Phase.READY:  # canceled while it waited
                heapq.heappop(self._ready)
                continue
            if job.cores > self._free:
                break
            heapq.heappop(self._ready)
            job.phase = Phase.RUNNING
            self._free -= job.cores
            started.append(job)
        return started, [WorkloadEvent(EventKind.START, job.id, now) for job in started]

    def raise_exception(self, job_id: int, kind: str, note: str, now: float) -> list[WorkloadEvent]:
        """A fatal exception (severity 0) on a job; one that does not run is over with it.

        A job that is over, or has had one, is left as it is.
        """
        job = self._active.get(job_id)
        if job is None or job.doomed:
            return []
        job.doomed = True
        events = [_exception(job_id, kind, note, now)]
        return events if job.phase is Phase.RUNNING else events + self._conclude(job, False, now)

    def finish(self, job_id: int, status: int, now: float) -> list[WorkloadEvent]:
        """The processes of a running job are gone; `status` is the largest wait status."""
        job = self._active[job_id]
        self._free += job.cores
        events = [WorkloadEvent(EventKind.FINISH, job_id, now, status=status)]
        return events + self._conclude(job, status == 0 and not job.doomed, now)

    def _open_dependencies(self, request: JobRequest) -> set[Dependency]:
        waits_for = set()
        for dependency in request.dependencies:
            scheme, target = dependency.condition.value, dependency.job
            if target in self._active:
                waits_for.add(dependency)
                continue
            ok = self._ended_ok.get(target)
            if ok is None:
                raise Rejected(f"dependency: {scheme}: id {target}: job not found")
            if not dependency.condition.met(ok=ok):
                ended = "succeeded" if ok else "failed or was canceled"
                raise Rejected(f"dependency: {scheme}: job {target} {ended}")
        return waits_for

    def _never_fits(self, request: JobRequest) -> str:
        """Why a job can never run on this machine; empty when it can."""
        asked, machine = request.resources, self._machine
        if asked.nodes > 1:
            return f"unsatisfiable request: need {asked.nodes} nodes, only 1 available"
        if asked.gpus:
            return f"unsatisfiable request: need {asked.gpus} GPU(s), only 0 available"
        if asked.cores > machine.cores:
            return (
                f"unsatisfiable request: need {asked.slots} slot(s) with {asked.cores} core(s)"
                f" in all, only {machine.cores} core(s) available"
            )
        if request.constraints is not None and not admits(request.constraints, machine.host):
            return f"unsatisfiable request: constraints do not admit {machine.host} (rank 0)"
        return ""

    def _take(
        self,
        job_id: int,
        request: JobRequest,
        waits_for: set[Dependency],
        never: str,
        now: float,
    ) -> list[WorkloadEvent]:
        if never:
            return self._refuse(job_id, "alloc", never, now)
        cores = self._machine.cores if request.resources.exclusive else request.resources.cores
        job = self._active[job_id] = Job(job_id, request, cores, waits_for)
        for dependency in waits_for:
            self._dependents.setdefault(dependency.job, []).append(job_id)
        self._make_ready(job)
        return []

    def _refuse(self, job_id: int, kind: str, note: str, now: float) -> list[WorkloadEvent]:
        self._ended_ok[job_id] = False
        return [_exception(job_id, kind, note, now), _clean(job_id, now)]

    def _make_ready(self, job: Job) -> None:
        if not job.waits_for:
            job.phase = Phase.READY
            heapq.heappush(self._ready, job.id)

    def _conclude(self, job: Job, ok: bool, now: float) -> list[WorkloadEvent]:
        """A job is over; so is, link by link, every job that can now never run."""
        events: list[WorkloadEvent] = []
        over = deque([(job, ok)])
        while over:
            ended, ok = over.popleft()
            del self._active[ended.id]
            self._ended_ok[ended.id] = ok
            events.append(_clean(ended.id, now))
            for dependent in self._dependents.pop(ended.id, ()):
                waiting = self._active.get(dependent)
                if waiting is None or waiting.phase is not Phase.BLOCKED or waiting.doomed:
                    continue
                unmet = self._settle(waiting, ended.id, ok)
                if unmet is not None:
                    waiting.doomed = True
                    events.append(_exception(dependent, "dependency", unmet, now))
                    over.append((waiting, False))
        return events

    def _settle(self, waiting: Job, ended: int, ok: bool) -> str | None:
        """Tell a job how another ended; the note of the exception when it waited in vain."""
        for dependency in [d for d in waiting.waits_for if d.job == ended]:
            if not dependency.condition.met(ok=ok):
                name = _DESCRIPTIONS[dependency.condition]
                return f"dependency {name}={ended} can never be satisfied"
            waiting.waits_for.remove(dependency)
        self._make_ready(waiting)
        return None


def _exception(job_id: int, kind: str, note: str, now: float) -> WorkloadEvent:
    return WorkloadEvent(EventKind.EXCEPTION, job_id, now, exception=kind, severity=0, note=note)


def _clean(job_id: int, now: float) -> WorkloadEvent:
    return WorkloadEvent(EventKind.CLEAN, job_id, now)
