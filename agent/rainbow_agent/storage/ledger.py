"""The ledger in a sqlite file. ports.Ledger says what each method promises."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rainbow_agent.core.model import (
    Cancellation,
    FoundJob,
    JobChange,
    JobKey,
    JobRow,
    Offer,
    PlannedJob,
    Refusal,
    Registration,
    ReportLine,
    StoryLine,
    TaskChange,
    TaskRow,
)
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.storage import ledger_jobs as writes
from rainbow_agent.storage import ledger_queries as views
from rainbow_agent.storage import ledger_reports as reports
from rainbow_agent.storage import ledger_tasks as news
from rainbow_agent.storage.ledger_connection import Store
from rainbow_agent.storage.ledger_file import open_store, open_store_readonly


class SqliteLedger:
    """ports.Ledger over one connection, which belongs to the thread that opened it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    def open(cls, path: Path) -> SqliteLedger:
        """Open the ledger to read and write; make it and its folder, or migrate it, if needed.

        Raises:
            Fatal: a newer version wrote it.
            LedgerDamaged: it cannot be used; the message has the damage and the cure.
        """
        return cls(open_store(path))

    @classmethod
    def open_readonly(cls, path: Path) -> SqliteLedger:
        """Open the ledger to read only, also while the daemon is down.

        Follows a daemon that runs. Beside one that is down, it shows the moment of opening and
        makes no files.

        Raises:
            UsageError: there is no ledger.
            Fatal: another version wrote it.
            LedgerDamaged: it cannot be read.
        """
        return cls(open_store_readonly(path))

    def close(self) -> None:
        """End the connection; again is no error."""
        self._store.close()

    def try_to_write(self) -> None:
        """See that it is not read-only; nothing is left of it.

        Raises:
            LedgerDamaged: it is.
        """
        self._store.try_to_write()

    def save(self, copy: Path) -> None:
        """Write all of it into another file, which must not be there; nobody else can read it.

        Raises:
            LedgerDamaged: it cannot be read, or the file not be written.
        """
        self._store.save(copy)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Several calls as one transaction: all of them or none."""
        with self._store.write():
            yield

    # What it is told.

    def open_registration(self, registration: Registration) -> None:
        """Make this the current registration."""
        with self._store.write() as db:
            writes.open_registration(db, registration)

    def close_registration(self, registration: str, at: float) -> None:
        """The registration is over."""
        with self._store.write() as db:
            writes.close_registration(db, registration, at)

    def record_offers(self, registration: str, offers: Sequence[Offer], at: float) -> list[JobKey]:
        """Store jobs as received; returns the new ones.

        Raises:
            ValueError: the registration was never opened.
        """
        with self._store.write() as db:
            return writes.record_offers(db, registration, offers, at)

    def record_plans(
        self, planned: Sequence[PlannedJob], refused: Sequence[Refusal], at: float
    ) -> None:
        """Store plans and refusals; what is planned or refused already stays as it is.

        Raises:
            InvalidTransition: a job that was refused would be planned, or one with tasks refused.
            ValueError: a job is not in the ledger, or a plan has no tasks.
        """
        with self._store.write() as db:
            for plan in planned:
                writes.record_plan(db, plan, at)
            for refusal in refused:
                writes.record_refusal(db, refusal, at)

    def apply(self, changes: Sequence[TaskChange]) -> list[JobChange]:
        """Write news of tasks and what follows for their jobs.

        Raises:
            InvalidTransition: a final state would be left for another; nothing is written.
        """
        if not changes:
            return []
        with self._store.write() as db:
            return news.write_news(db, changes)

    def mark_accepted(self, registration: str, ids: Sequence[int], at: float) -> None:
        """Rainbow was told of these jobs."""
        with self._store.write() as db:
            writes.mark_accepted(db, registration, ids, at)

    def record_report(
        self, states: Mapping[JobKey, JobState], at: float, problem: str | None = None
    ) -> None:
        """A report was sent, and what of it is news."""
        with self._store.write() as db:
            reports.record_report(db, states, at, problem)

    def ask_cancel(self, cancellation: Cancellation) -> bool:
        """Somebody wants a job to end."""
        with self._store.write() as db:
            return reports.ask_cancel(db, cancellation)

    def end_cancellation(self, key: JobKey, at: float) -> None:
        """The job is over."""
        with self._store.write() as db:
            reports.end_cancellation(db, key, at)

    def cancel_unplanned(self, key: JobKey, reason: str, at: float) -> bool:
        """End a job that has no tasks yet."""
        with self._store.write() as db:
            return reports.cancel_unplanned(db, key, reason, at)

    def put_note(self, name: str, value: Any) -> None:
        """Keep a small JSON fact."""
        with self._store.write() as db:
            writes.put_note(db, name, value)

    def adopt(self, jobs: Sequence[FoundJob], host: str, at: float) -> None:
        """Store jobs that only the workload manager knew."""
        with self._store.write() as db:
            news.write_news(db, writes.adopt(db, jobs, host, at))

    # What it answers.

    def current_registration(self) -> Registration | None:
        """The one that was opened last and is not closed."""
        with self._store.read() as db:
            return views.current_registration(db)

    def jobspecs(self, keys: Sequence[JobKey]) -> dict[JobKey, str]:
        """The jobspec text of jobs; unknown ones are left out."""
        with self._store.read() as db:
            return views.jobspecs(db, keys)

    def names(self, keys: Sequence[JobKey]) -> dict[JobKey, str]:
        """The names of jobs; unknown ones are left out."""
        with self._store.read() as db:
            return views.names(db, keys)

    def holders(self, registration: str, ids: Sequence[int]) -> dict[int, JobKey]:
        """The jobs that a registration's rows are."""
        with self._store.read() as db:
            return views.holders(db, registration, ids)

    def known(self, keys: Collection[JobKey]) -> set[JobKey]:
        """Which of these jobs there are."""
        with self._store.read() as db:
            return set(views.names(db, list(keys)))

    def registrations(self) -> set[str]:
        """Every registration that there ever was."""
        with self._store.read() as db:
            return views.registrations(db)

    def unplanned(self) -> list[JobKey]:
        """Jobs in state received that have no tasks yet."""
        with self._store.read() as db:
            return views.unplanned(db)

    def tasks_in(self, states: Collection[TaskState]) -> list[TaskRow]:
        """Tasks in these states, by job and position."""
        with self._store.read() as db:
            return views.tasks_in(db, states)

    def tasks_of(self, key: JobKey) -> list[TaskRow]:
        """All tasks of a job; none of an unknown one."""
        with self._store.read() as db:
            return views.tasks_of(db, key)

    def unaccepted(self, registration: str) -> list[int]:
        """Ids that are safe to accept next, in order."""
        with self._store.read() as db:
            return views.unaccepted(db, registration)

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state."""
        with self._store.read() as db:
            return views.counts(db)

    def open_jobs(self) -> int:
        """Jobs that are not in a final state."""
        with self._store.read() as db:
            return views.open_jobs(db)

    def jobs(
        self,
        *,
        states: Collection[JobState] = (),
        limit: int | None = None,
        newest_first: bool = False,
        with_tasks: bool = True,
        since: float | None = None,
        name: str | None = None,
    ) -> list[JobRow]:
        """Jobs by time received, those of one moment in the order of their arrival."""
        with self._store.read() as db:
            chosen = views.Chosen(states, since, name)
            return views.jobs(
                db, chosen, limit=limit, newest_first=newest_first, with_tasks=with_tasks
            )

    def job(self, key: JobKey) -> JobRow | None:
        """One job with its tasks."""
        with self._store.read() as db:
            return views.job(db, key)

    def ended_badly(self, limit: int) -> list[JobRow]:
        """Jobs that ended badly, the last first."""
        with self._store.read() as db:
            return views.ended_badly(db, limit)

    def find_jobs(self, job_id: int) -> list[JobKey]:
        """Jobs with this rainbow id, newest registration first."""
        with self._store.read() as db:
            return views.find_jobs(db, job_id)

    def story(self, key: JobKey) -> list[StoryLine]:
        """Everything that happened to a job, in the order in which it was learned."""
        with self._store.read() as db:
            return views.story(db, key)

    def untold(self) -> list[JobKey]:
        """Jobs in a state that rainbow was not told of."""
        with self._store.read() as db:
            return reports.untold(db)

    def moved(self, after: int) -> tuple[int, list[JobKey]]:
        """What happened to jobs after an event."""
        with self._store.read() as db:
            return reports.moved(db, after)

    def rows(self, keys: Sequence[JobKey]) -> list[JobRow]:
        """Jobs without their tasks."""
        with self._store.read() as db:
            return views.rows(db, keys)

    def reports_of(self, key: JobKey) -> list[ReportLine]:
        """What rainbow was told of a job, by time."""
        with self._store.read() as db:
            return reports.reports_of(db, key)

    def cancellations(self) -> list[Cancellation]:
        """Those that are not carried out yet, oldest first."""
        with self._store.read() as db:
            return reports.cancellations(db)

    def cancellation_of(self, key: JobKey) -> Cancellation | None:
        """Who asked for the end of a job, if anybody did."""
        with self._store.read() as db:
            return reports.cancellation_of(db, key)

    def damage(self) -> str:
        """What is wrong with the file's pages, in sqlite's words; "" when it is whole."""
        with self._store.read() as db:
            (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        return "" if verdict == "ok" else " ".join(str(verdict).split())

    def note(self, name: str) -> Any:
        """A fact kept with put_note; None if it never was."""
        with self._store.read() as db:
            return views.note(db, name)
