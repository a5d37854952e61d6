"""From the ledger to rainbow: what this cluster has, and what became of its jobs.

UpdateState merges keys and never removes one, so every report is whole: `constraint` selection
reads the flat numbers, people and tools the nested ones.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Any

from rainbow_agent import __version__
from rainbow_agent.core.errors import (
    ClusterUnknown,
    LedgerBlocked,
    LedgerError,
    Refused,
    RequestDenied,
    Transient,
    WorkloadUnavailable,
)
from rainbow_agent.core.model import JobKey, JobRow
from rainbow_agent.core.node_resources import PoolView
from rainbow_agent.core.ports import Clock, Scheduler, Workload
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.fleet.ports import Reports
from rainbow_agent.fleet.session import Session, SessionError
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.fault_injection import CrashPoint, reach_if
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.pace import Pace
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger_unwritable import cannot_write

log = logging.getLogger(__name__)

#: Jobs whose states are in a report: the last ones that came, and of others those that rainbow was
#: not sent yet, as many as these; the rest goes into the next one.
MAX_RECENT_JOBS = 100
MAX_UNREPORTED_JOBS = 1000
#: A number that no event reaches.
_NO_EVENT = 2**62
#: Seconds between reports at least; changes meanwhile are gathered.
MIN_REPORT_INTERVAL_S = 1.0


def state_payload(
    *,
    pool: PoolView | None,
    memory_per_node: int | None,
    counts: Mapping[JobState, int],
    recent: list[JobRow],
    operator: Mapping[str, float | str],
    at: float,
    draining: bool = False,
    expected_wait: float | None = None,
) -> dict[str, Any]:
    """The state that is reported (docs/commands.md lists the keys).

    Args:
        pool: what the workload manager can schedule; None when it cannot be asked now.
        memory_per_node: bytes, of the node with the least; None when not known.
        counts: jobs per state.
        recent: the last jobs, newest first.
        operator: the operator's own values; they win over the agent's.
        at: epoch seconds.
        draining: whether the cluster takes no new jobs; a number, so that a selection can ask.
        expected_wait: seconds until what waits is expected to have started; None: not known.
    """
    state: dict[str, Any] = {"agent_version": __version__, "reported": round(at, 3)}
    state["draining"] = int(draining)
    # The real server's filters leave out only what has no value: a text where there was a number.
    state["taking"] = "no, draining" if draining else 1
    if pool is not None:
        state.update(pool.totals())
    state["expected_wait_s"] = round(expected_wait or 0.0)
    if memory_per_node is not None:
        state["memory_per_node"] = memory_per_node
        state["memory_gb_per_node"] = round(memory_per_node / 1e9, 3)
    state.update({f"jobs_{s.value}": n for s, n in counts.items()})
    state["jobs_open"] = sum(n for s, n in counts.items() if s not in FINAL_JOB_STATES)
    state["jobs"] = {str(job.key.id): job.state.value for job in reversed(recent)}
    state.update(operator)
    return state


class Reporter:
    """The thread that tells rainbow. `changed()` may be called from any thread."""

    def __init__(
        self,
        *,
        session: Callable[[], Session | None],
        open_scheduler: Callable[[], Scheduler],
        open_ledger: Callable[[], Reports],
        open_workload: Callable[[], Workload],
        memory_per_node: Callable[[], int | None],
        operator: Mapping[str, float | str],
        every: float,
        cluster: str,
        clock: Clock,
        stop: Stop,
        session_error: Callable[[SessionError], None],
        draining: Callable[[], bool] = lambda: False,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._session = session
        self._open_scheduler = open_scheduler
        self._open_ledger = open_ledger
        self._open_workload = open_workload
        self._memory_per_node = memory_per_node
        self._operator = operator
        self._every = every
        self._cluster = cluster
        self._clock = clock
        self._telemetry = telemetry or Telemetry(clock)
        self._stop = self._telemetry.loop("reporter", stop)
        self._session_error = session_error
        self._draining = draining
        self._changed = threading.Event()
        self._wake = stop.wake_event()
        self._workload: Workload | None = None
        self._problem = ""
        self._reported: dict[JobKey, JobState] = {}  # of the last report that rainbow took
        #: Jobs that moved since they were reported, in that order; None: not looked yet.
        self._unreported: dict[JobKey, None] | None = None
        self._seen = 0  # the last event of the ledger that was looked at
        #: The last answer of the workload manager.
        self.pool: PoolView | None = None
        self._expected_wait: float | None = None
        #: When that was, by the monotonic clock; None: never.
        self.looked: float | None = None
        #: When rainbow took a report last, epoch seconds.
        self.delivered: float | None = None
        #: The same by the monotonic clock.
        self.delivered_at: float | None = None
        #: Set while everything that changed was reported.
        self.flushed = threading.Event()

    def changed(self) -> None:
        """There is something to report."""
        self.flushed.clear()
        self._changed.set()
        self._wake.set()

    def run(self) -> None:
        """Report until the stop."""
        ledger, scheduler = self._open_ledger(), self._open_scheduler()
        pace = self._pace()
        try:
            self._changed.set()
            while not self._stop.is_set():
                try:
                    self._report_once(ledger, scheduler, pace)
                except LedgerBlocked as exc:  # rainbow may know already; it is reported again
                    cannot_write(self._telemetry.conditions, exc)
                    self._telemetry.counters.errors.add(exc.kind)
                    self._changed.set()
                self._stop.wait_for(self._wake, max(self._every, pace.gap()))
                self._wake.clear()
                self._stop.wait(pace.gap())
            self._telemetry.ended("reporter")
        finally:
            self._close(ledger, scheduler)

    def report_last(self) -> None:
        """Report once more, after all other threads ended: what rainbow keeps of this run."""
        try:
            ledger, scheduler = self._open_ledger(), self._open_scheduler()
            try:
                pace = self._pace()
                while self._report_once(ledger, scheduler, pace) and self._unreported:
                    pass
            finally:
                self._close(ledger, scheduler)
        except LedgerError as exc:
            log.warning("The last report is not noted; the next start reports again: %s", exc)

    def _pace(self) -> Pace:
        least = min(MIN_REPORT_INTERVAL_S, self._every)
        return Pace(least, self._every, self._cluster, now=self._clock.monotonic())

    def _close(self, ledger: Reports, scheduler: Scheduler) -> None:
        if self._workload is not None:
            self._workload.close()
            self._workload = None
        scheduler.close()
        ledger.close()

    def _report_once(self, ledger: Reports, scheduler: Scheduler, pace: Pace) -> bool:
        """One report; whether rainbow took it."""
        session = self._session()
        if session is None:
            return False
        changed, asked = self._changed.is_set(), self._clock.monotonic()
        self._changed.clear()
        try:
            self.pool = self._look()
            recent = self._to_report(ledger)
            payload = self._payload(ledger, recent)
            reach_if(CrashPoint.REPORT_MADE, lambda: _reports_an_end(recent))
            asked = self._clock.monotonic()
            scheduler.update_state(session.cluster, session.secret.reveal(), payload)
            reach_if(CrashPoint.REPORTED, lambda: _reports_an_end(recent))
        except (ClusterUnknown, RequestDenied) as exc:
            self._record(ledger, [], str(exc))
            self._session_error(SessionError(session, exc))
        except (Transient, Refused) as exc:
            self._telemetry.counters.errors.add(exc.kind)
            self._telemetry.counters.retries.add("report")
            self._telemetry.counters.reports.add("failed")
            self._record(ledger, [], str(exc))
            self._failed(str(exc), pace, self._clock.monotonic() - asked)
        else:
            self._record(ledger, recent, None)
            reach_if(CrashPoint.REPORT_NOTED, lambda: _reports_an_end(recent))
            self._problem, self.delivered = "", self._clock.now()
            self.delivered_at = self._clock.monotonic()
            self._telemetry.conditions.clear(ConditionName.REPORT_UNDELIVERED)
            self._telemetry.counters.reports.add("delivered")
            pace.idled(self.delivered_at - asked)
            if changed:  # what comes next is worth an attempt soon, if rainbow does not take it
                pace.worked(self.delivered_at)
            self._forget(recent)
            if self._unreported:
                self._wake.set()  # the rest of it follows
            elif not self._changed.is_set():
                self.flushed.set()
            return True
        return False

    def _to_report(self, ledger: Reports) -> list[JobRow]:
        """The jobs of the next report, the newest first.

        Those that were not reported yet come in the order in which they moved, however many jobs
        came after them: what ends during an outage is reported when it is over.
        """
        if self._unreported is None:
            self._seen, _ = ledger.moved(_NO_EVENT)
            self._unreported = dict.fromkeys(ledger.unreported())
        self._seen, moved = ledger.moved(self._seen)
        for key in moved:
            self._unreported.pop(key, None)
            self._unreported[key] = None
        recent = ledger.jobs(limit=MAX_RECENT_JOBS, newest_first=True, with_tasks=False)
        listed = {job.key for job in recent}
        others = [key for key in islice(self._unreported, MAX_UNREPORTED_JOBS) if key not in listed]
        hidden = {key for key in others if ledger.find_jobs(key.id)[0] != key}
        for key in hidden:  # a newer registration has another job under its id: that is the one
            del self._unreported[key]
        return recent + ledger.rows([key for key in others if key not in hidden])[::-1]

    def _forget(self, reported: list[JobRow]) -> None:
        for job in reported:
            if self._unreported is not None:
                self._unreported.pop(job.key, None)

    def _record(self, ledger: Reports, recent: list[JobRow], problem: str | None) -> None:
        """Keep what was reported, for `explain`; what it knows already is not written again.

        Of two jobs with one id only the newer is reported: ids start over with a registration.
        """
        sent = {job.key.id: job for job in reversed(recent)}
        before = self._reported
        fresh = {job.key: job.state for job in sent.values() if before.get(job.key) != job.state}
        ledger.record_report(fresh, self._clock.now(), problem)
        if problem is None:
            self._reported = {job.key: job.state for job in sent.values()}

    def _failed(self, problem: str, pace: Pace, took: float) -> None:
        if problem != self._problem:
            log.warning("A report could not be delivered; it is kept: %s", problem)
        self._problem = problem
        self._telemetry.conditions.set(ConditionName.REPORT_UNDELIVERED, problem)
        pace.failed(self._clock.monotonic(), took)
        self._stop.wait(pace.wait(self._clock.monotonic()))
        self._wake.set()

    def _look(self) -> PoolView | None:
        """What the workload manager has; None when it cannot say (the report goes anyway)."""
        try:
            if self._workload is None:
                self._workload = self._open_workload()
            self._expected_wait = self._workload.expected_wait()
            return self._asked(self._workload.resources())
        except WorkloadUnavailable:
            if self._workload is not None:
                self._workload.close()
                self._workload = None
            return None

    def _asked(self, pool: PoolView) -> PoolView:
        self.looked = self._clock.monotonic()
        return pool

    def _payload(self, ledger: Reports, recent: list[JobRow]) -> dict[str, Any]:
        return state_payload(
            pool=self.pool,
            memory_per_node=self._memory_per_node(),
            counts=ledger.counts(),
            recent=recent,
            operator=self._operator,
            at=self._clock.now(),
            draining=self._draining(),
            expected_wait=self._expected_wait,
        )


def _reports_an_end(jobs: list[JobRow]) -> bool:
    return any(job.state in FINAL_JOB_STATES for job in jobs)
