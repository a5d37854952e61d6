"""From the workload manager's journal to the ledger.

`JournalRoom` is the thread around a Tracker (jobs/tracker.py): it opens the journal, applies
the history in one go, then what happens; opens it again when it breaks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress

from rainbow_agent.core.errors import LedgerBlocked, WorkloadUnavailable
from rainbow_agent.core.lineage import Gone, Known
from rainbow_agent.core.model import (
    FoundJob,
    JobChange,
    TaskChange,
    TaskKey,
    TaskKind,
    TaskRow,
)
from rainbow_agent.core.ports import Clock, Journal, StopSignal, Workload
from rainbow_agent.core.states import FINAL_TASK_STATES, TaskState
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.jobs.denials import in_order
from rainbow_agent.jobs.ports import Followed
from rainbow_agent.jobs.tracker import Tracker
from rainbow_agent.jobs.unwritten_news import UnwrittenNews
from rainbow_agent.runtime.backoff import Backoff
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.fault_injection import CrashPoint, reach_if
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.storage.ledger_rebuild import INSTANCE, LINEAGE, REBUILD, STRAYS, Finds, whose
from rainbow_agent.storage.ledger_unwritable import cannot_write

log = logging.getLogger(__name__)

#: News written in one transaction when a history is read; so many take a second or two.
MAX_CHANGES_PER_TRANSACTION = 10_000
OPEN_TASK_STATES = frozenset(TaskState) - FINAL_TASK_STATES
_RUNS = frozenset({TaskState.RUNNING})


_LOST = {
    Gone.REPLACED: "it ran in a workload manager's instance that was replaced: how far it came is"
    " not known",
    Gone.PURGED: "the workload manager no longer knows this task: it ended while no agent listened,"
    " and was purged",
    Gone.UNKNOWN: "the workload manager no longer knows this task: its instance was replaced or"
    " purged",
}


class JournalFollower:
    """The thread that keeps the ledger true to the workload manager."""

    #: Seconds one wait for events may take; also how long the loop does not move when all is well.
    EVENT_WAIT_S = 1.0
    #: Seconds to gather what follows an event: a burst becomes a few transactions, and the main
    #: thread is not kept from the ledger and the interpreter while it submits.
    GATHER_S = 0.05

    def __init__(
        self,
        *,
        open_workload: Callable[[], Workload],
        open_ledger: Callable[[], Followed],
        clock: Clock,
        stop: StopSignal,
        on_change: Callable[[list[JobChange]], None],
        telemetry: Telemetry | None = None,
        cluster: str = "",
        host: str = "",
        on_lost: str = "fail",
    ) -> None:
        self._cluster, self._host, self._on_lost = cluster, host, on_lost
        self._open_workload = open_workload
        self._open_ledger = open_ledger
        self._clock = clock
        self._telemetry = telemetry or Telemetry(clock)
        self._stop = self._telemetry.loop("journal", stop)
        self._on_change = on_change
        #: Set while the ledger has all that is in the journal; cleared when the stream breaks.
        self.caught_up = threading.Event()
        #: Set: jobs of which only a part is in the history are stored as far as they are there.
        self.adopt_partly = threading.Event()
        #: How often the history was read in full.
        self.generation = 0
        self._unwritten = UnwrittenNews()
        self._resync = threading.Event()
        #: Guards caught_up and _resync together: a history that was begun before a resync was
        #: asked for does not count.
        self._sync = threading.Lock()
        self.reachable: bool | None = None
        self.problem = ""
        #: When the journal was asked last, by the monotonic clock; None: never.
        self.looked: float | None = None

    def request_resync(self) -> None:
        """Read the history again: submissions are in flight whose fate is not known."""
        with self._sync:
            self.caught_up.clear()
            self._resync.set()

    def run(self) -> None:
        """Follow the journal until the stop."""
        ledger = self._open_ledger()
        backoff = Backoff(0.5, 10.0)
        try:
            while not self._stop.is_set():
                try:
                    self._follow(ledger, backoff)
                    continue
                except WorkloadUnavailable as exc:
                    if self.problem != str(exc):
                        log.warning("The workload manager's journal broke off: %s", exc)
                    self.reachable, self.problem = False, str(exc)
                    self._telemetry.conditions.set(ConditionName.WORKLOAD_UNREACHABLE, str(exc))
                    self._telemetry.counters.errors.add(exc.kind)
                except LedgerBlocked as exc:
                    # What could not be written is kept, and in the history, which is read again.
                    cannot_write(self._telemetry.conditions, exc)
                    self._telemetry.counters.errors.add(exc.kind)
                self._telemetry.counters.retries.add("journal")
                self.caught_up.clear()
                backoff.failed()
                self._stop.wait(backoff.wait())
            self._telemetry.ended("journal")
        finally:
            self.caught_up.clear()
            ledger.close()

    def _follow(self, ledger: Followed, backoff: Backoff) -> None:
        with self._sync:
            self.caught_up.clear()
            self._resync.clear()
        self._apply(ledger, [])
        workload = self._open_workload()
        try:
            if ledger.tasks_in({TaskState.SUBMITTING}):
                workload.settle(self._stop)
            # Taken before the history, which therefore has every one of them that still exists.
            known = ledger.tasks_in({TaskState.SUBMITTED, TaskState.RUNNING})
            instance = workload.instance
            still_open = {row.key for row in ledger.tasks_in(OPEN_TASK_STATES)}
            journal = workload.open_journal(
                lambda key: key in still_open or self.caught_up.is_set()
            )
            try:
                tracker = Tracker(resubmits=True)
                self._read_history(journal, ledger, tracker, known, workload, instance=instance)
                backoff.worked(self._clock.monotonic())
                held: dict[int | None, TaskChange] = {}
                while not (self._stop.is_set() or self._resync.is_set()):
                    news = _news(tracker, self._gather(journal))
                    self._apply_or_keep(ledger, [*_in_company(news, held)])
            finally:
                journal.close()
        finally:
            workload.close()

    def _gather(self, journal: Journal) -> list[WorkloadEvent]:
        events = journal.next_events(self.EVENT_WAIT_S)
        self.looked = self._clock.monotonic()
        if events and not self._stop.wait(self.GATHER_S):
            # What was heard counts also where the stream breaks off now, which the next call says
            # again: if the instance is replaced, no other history has it.
            with suppress(WorkloadUnavailable):
                events += journal.next_events(0.0)
        return events

    def _read_history(
        self,
        journal: Journal,
        ledger: Followed,
        tracker: Tracker,
        known: Sequence[TaskRow],
        workload: Workload,
        *,
        instance: str,
    ) -> None:
        """Bring the ledger up to date; what the workload manager no longer knows is sorted out."""
        news: list[TaskChange] = []
        seen: set[TaskKey] = set()
        last_id = 0
        finds = self._finds(ledger)
        try:
            while not self._stop.is_set():
                events = journal.next_events(self.EVENT_WAIT_S)
                seen |= {e.key for e in events if e.key is not None}
                last_id = max([last_id, *(e.flux_id for e in events)])
                finds.note(events)
                news += _news(tracker, events)
                if any(e.kind is EventKind.CAUGHT_UP for e in events):
                    break
            else:
                self._write_history(ledger, news)
                return
        except WorkloadUnavailable:
            # If the instance is replaced, no other history has this news of it.
            self._write_history(ledger, news)
            raise
        self._adopt(ledger, finds)
        open_tasks = self._write_history(ledger, news)
        # Looked up after the history was read: what was purged meanwhile is remembered there.
        lineage = workload.lineage
        noted = ledger.note(INSTANCE), ledger.note(LINEAGE)
        where = Known(instance, lineage.name, max(last_id, lineage.last_id), noted)
        self._note_missed(ledger, known, seen, where)
        self.reachable, self.problem = True, ""
        self._telemetry.conditions.clear(ConditionName.WORKLOAD_UNREACHABLE)
        with self._sync:
            if self._resync.is_set():
                return
            self.generation += 1
            self.caught_up.set()
        log.info(
            "Caught up with the workload manager's journal",
            extra={"action": "journal_caught_up", "open_tasks": open_tasks, "news": len(news)},
        )

    def _write_history(self, ledger: Followed, news: list[TaskChange]) -> int:
        """Write the news of tasks that are not over, and drop the rest from `news`.

        Returns:
            How many tasks are not over.
        """
        open_keys = {row.key for row in ledger.tasks_in(OPEN_TASK_STATES)}
        news[:] = [change for change in in_order(news) if change.inside or change.key in open_keys]
        reach_if(CrashPoint.HISTORY_READ, lambda: news)
        for start in range(0, len(news), MAX_CHANGES_PER_TRANSACTION):
            self._stop.beat()
            self._apply(ledger, news[start : start + MAX_CHANGES_PER_TRANSACTION])
        reach_if(CrashPoint.HISTORY_WRITTEN, lambda: news)
        return len(open_keys)

    def _note_missed(
        self, ledger: Followed, known: Sequence[TaskRow], seen: Collection[TaskKey], where: Known
    ) -> None:
        """What became of tasks that are not in the history, logged one by one; and the instance.

        In one transaction: a crash in between must not take the new instance for the old one.
        """
        with ledger.transaction():
            away = missed(known, seen, where, self._on_lost, self._clock.now())
            changes = ledger.apply(away)
            reach_if(CrashPoint.SORTING, lambda: away)
            if where.noted != (where.instance, where.lineage):
                ledger.put_note(INSTANCE, where.instance)
                ledger.put_note(LINEAGE, where.lineage)
        reach_if(CrashPoint.SORTED, lambda: away)
        _log_missed(away)
        if changes:
            self._on_change(changes)

    def _finds(self, ledger: Followed) -> Finds:
        rebuilding = ledger.note(REBUILD) is not None
        return Finds(whose(ledger.registrations(), self._cluster, rebuilding=rebuilding))

    def _adopt(self, ledger: Followed, finds: Finds) -> None:
        """Store jobs that only the journal knows, and remember the tasks of those that are half.

        A job that is in the ledger without tasks, and in the journal with some, was planned after
        a copy of the ledger was made that was put back since. It is taken from the journal where
        all of it is there; where it has groups, or is half there, it is planned, and its tasks are
        not submitted a second time.
        """
        missing = finds.jobs() - ledger.known(finds.jobs())
        unplanned = finds.jobs().intersection(ledger.unplanned())
        flat = [job for job in finds.whole(unplanned) if not _has_groups(job)]
        found = finds.whole(missing) + flat
        if self.adopt_partly.is_set():
            found += finds.partly(missing)
        strays = finds.strays((missing | unplanned) - {job.key for job in found})
        if found:
            ledger.adopt(found, self._host, self._clock.now())
            log.warning(
                "Jobs that the ledger does not have were found in the workload manager's journal",
                extra={"action": "adopted", "jobs": len(found)},
            )
        if (ledger.note(STRAYS) or []) != strays:
            ledger.put_note(STRAYS, strays)

    def _apply_or_keep(self, ledger: Followed, news: list[TaskChange]) -> None:
        try:
            self._apply(ledger, news)
        except LedgerBlocked as exc:
            if not self._unwritten.whole:
                raise
            cannot_write(self._telemetry.conditions, exc)

    def _apply(self, ledger: Followed, news: list[TaskChange]) -> None:
        if news or self._unwritten:
            reach_if(CrashPoint.START_HEARD, lambda: _tells(news, _RUNS))
            reach_if(CrashPoint.END_HEARD, lambda: _tells(news, FINAL_TASK_STATES))
            changes = self._unwritten.write(ledger, news)
            reach_if(CrashPoint.START_NOTED, lambda: _tells(news, _RUNS))
            reach_if(CrashPoint.END_NOTED, lambda: _tells(news, FINAL_TASK_STATES))
            if changes:
                self._on_change(changes)


def _has_groups(job: FoundJob) -> bool:
    return any(task.kind is TaskKind.GROUP for task in job.tasks)


def _tells(news: Iterable[TaskChange], states: Collection[TaskState]) -> bool:
    return any(change.state in states for change in news)


def _log_missed(changes: Sequence[TaskChange]) -> None:
    """Log what the workload manager lost, task by task, whatever becomes of it."""
    for change in changes:
        log.warning(
            "Task %s: %s",
            change.key,
            change.cause,
            extra={"action": f"missed_{change.state.value}"},
        )


def _news(tracker: Tracker, events: Iterable[WorkloadEvent]) -> list[TaskChange]:
    found = (tracker.feed(event) for event in events)
    return [change for change in found if change is not None]


def _in_company(
    news: Iterable[TaskChange], held: dict[int | None, TaskChange]
) -> Iterator[TaskChange]:
    """Live news, those of a submission only together with what comes next of the same task.

    That a task was submitted is the dispatcher's to write, and to write it twice would be half of
    this thread's work while many are. Here it is repeated in case the dispatcher has not come
    to it yet, so that a job's story is whole. Of a task in a group only the journal tells it.

    Args:
        news: what is new.
        held: submissions without a later event yet, by job id; kept up to date.
    """
    for change in news:
        if change.state is TaskState.SUBMITTED and not change.inside:
            held[change.flux_id] = change
            continue
        submission = held.pop(change.flux_id, None)
        if submission is not None:
            yield submission
        yield change


def missed(
    rows: Iterable[TaskRow], seen: Collection[TaskKey], where: Known, on_lost: str, at: float
) -> list[TaskChange]:
    """News of tasks that were in the workload manager and are not in its history any more.

    Args:
        rows: tasks that were submitted, taken before the history was read.
        seen: the keys in the history.
        where: whose history it is.
        on_lost: `resubmit` or `fail` (RAINBOW_ON_LOST), for tasks that had started.
        at: epoch seconds.
    """
    away = [row for row in rows if row.key not in seen]
    return [_missed(row, where.gone(row.flux_id), on_lost, at) for row in away]


def _missed(row: TaskRow, gone: Gone, on_lost: str, at: float) -> TaskChange:
    started = row.state is TaskState.RUNNING
    if gone is Gone.REPLACED and not started:
        cause = "it waited in a workload manager's instance that was replaced; submitted again"
    elif gone is Gone.REPLACED and on_lost == "resubmit" and row.kind is not TaskKind.GROUP:
        cause = (
            "it ran in a workload manager's instance that was replaced; submitted again"
            " (RAINBOW_ON_LOST=resubmit)"
        )
    else:
        reason = _LOST[gone]
        if gone is Gone.REPLACED:
            group = row.kind is TaskKind.GROUP and on_lost == "resubmit"
            reason += " (a group is not run again)" if group else " (RAINBOW_ON_LOST=fail)"
        return TaskChange(row.key, TaskState.LOST, at, reason, reason=reason)
    return TaskChange(row.key, TaskState.PENDING, at, cause, flux_id=row.flux_id, again=True)
