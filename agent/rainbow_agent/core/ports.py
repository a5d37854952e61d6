"""The doors between the rooms and the world: four Protocols, owned by the rooms that use them.

A connection (`Scheduler`, `Workload`, `Journal`, `Ledger`) belongs to the thread that opened it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rainbow_agent.core.lineage import Lineage
from rainbow_agent.core.model import (
    Cancellation,
    Credentials,
    FoundJob,
    JobChange,
    JobKey,
    JobRow,
    Offer,
    OutputPiece,
    PlannedJob,
    Refusal,
    Registration,
    ReportLine,
    SatisfyAnswer,
    StoryLine,
    Submission,
    SubmitOutcome,
    TaskChange,
    TaskEvent,
    TaskKey,
    TaskRow,
    WorkloadEvent,
)
from rainbow_agent.core.node_resources import PoolView
from rainbow_agent.core.states import JobState, TaskState


class Clock(Protocol):
    """Time, as a parameter."""

    def now(self) -> float:
        """Epoch seconds."""

    def monotonic(self) -> float:
        """Seconds that never go back."""


class StopSignal(Protocol):
    """What every wait ends on (threading.Event satisfies it)."""

    def is_set(self) -> bool:
        """Whether to stop."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds; True when it is time to stop."""


class Scheduler(Protocol):
    """The rainbow scheduler. Every method may raise Unavailable, RequestDenied or Rejected."""

    def register(self, cluster: str, secret: str, graph: str) -> Credentials:
        """Register a cluster graph (JGF, JSON text) with the registration secret.

        Raises:
            ClusterExists: the name is taken; the server gives no secret again.
        """

    def restore_graph(self, cluster: str, graph: str) -> None:
        """Load the graph of a cluster that is still registered (MemoryGraph.Register)."""

    def deregister(self, cluster: str, secret: str) -> None:
        """Delete the cluster. A cluster that does not exist is no error."""

    def register_subsystem(self, cluster: str, secret: str, subsystem: str, graph: str) -> None:
        """Add a subsystem graph; `secret` is the cluster's. Rejected if it is there already."""

    def delete_subsystem(self, cluster: str, secret: str, subsystem: str) -> None:
        """Remove a subsystem graph. Rejected if it is not there."""

    def receive(self, cluster: str, secret: str, max_jobs: int) -> list[Offer]:
        """The jobs that wait, sorted by id; at most `max_jobs`, all when it is below 1.

        The same jobs come again until they are accepted. A row that is no job (broken JSON,
        another cluster's) comes as an Offer whose jobspec is the raw text, never as an error.
        """

    def accept(self, cluster: str, secret: str, ids: Sequence[int]) -> None:
        """Take jobs off rainbow's list. Ids that are gone are no error; no ids is no call."""

    def update_state(self, cluster: str, secret: str, state: Mapping[str, Any]) -> None:
        """Merge key-value pairs into the cluster's state.

        Raises:
            ClusterUnknown: the server lost the cluster's graph.
        """

    def satisfy(self, jobspec: Mapping[str, Any]) -> SatisfyAnswer:
        """Which clusters match a jobspec."""

    def submit(
        self,
        name: str,
        clusters: Mapping[str, str],
        jobspec: str,
        *,
        select: str = "",
        select_options: Mapping[str, str] | None = None,
        satisfy_only: bool = False,
    ) -> list[str]:
        """Submit jobspec text to one of `clusters` (name to token); the clusters chosen.

        With `satisfy_only` nothing is submitted and all that pass selection come back.
        """

    def close(self) -> None:
        """End the connection."""


class Journal(Protocol):
    """The workload manager's events: first all history, then CAUGHT_UP, then as they happen."""

    def next_events(self, timeout: float) -> list[WorkloadEvent]:
        """What has happened since the last call, in order a job; empty after `timeout` seconds.

        Raises:
            WorkloadUnavailable: the connection is gone; open a new journal.
        """

    def close(self) -> None:
        """End the stream."""


class Workload(Protocol):
    """A workload manager: Flux, or the local one. Methods may raise WorkloadUnavailable."""

    @property
    def kind(self) -> str:
        """`flux` or `local`."""

    @property
    def uri(self) -> str:
        """Where it is."""

    @property
    def instance(self) -> str:
        """What tells this instance from another that has its uri later."""

    @property
    def lineage(self) -> Lineage:
        """What stays the same when an instance is restarted with its state."""

    def resources(self) -> PoolView:
        """What it can schedule, and what of that is free now."""

    def start_submit(self, submission: Submission) -> None:
        """Begin one submission; does not wait. Its outcome comes from collect_outcomes()."""

    def collect_outcomes(self, timeout: float) -> list[SubmitOutcome]:
        """Outcomes that are there now; waits up to `timeout` seconds for the first.

        After WorkloadUnavailable the fate of what is in flight is unknown: the journal tells.
        """

    def in_flight(self) -> int:
        """Submissions begun whose outcome was not collected."""

    def cancel(self, flux_ids: Sequence[int], note: str) -> None:
        """End jobs; ids that are over or unknown are no error."""

    def settle(self, stop: StopSignal) -> None:
        """Return once nothing that a dead predecessor sent can still become a job."""

    def open_journal(self, follow: Callable[[TaskKey], bool] | None = None) -> Journal:
        """A journal on a connection of its own.

        Args:
            follow: asked of each group that starts, by its key: whether the news of the tasks in
                it are wanted (INSIDE events). They come before its CLEAN, also when both lie in
                the past. None: of no group.
        """

    def close(self) -> None:
        """End the connection. Jobs go on."""


class Records(Protocol):
    """What a workload manager keeps of its jobs, for people who ask."""

    def eventlog(self, flux_id: int) -> list[TaskEvent]:
        """Everything that happened to a job there, oldest first; empty when it is not known.

        Raises:
            WorkloadUnavailable: it cannot be asked.
        """

    def output(self, flux_ids: Sequence[int], *, follow: bool) -> Iterator[OutputPiece]:
        """What jobs have written, each job's in order.

        Args:
            flux_ids: the jobs; one that is not known, or has not started, has written nothing.
            follow: go on as they write, until all of them are over.

        Raises:
            WorkloadUnavailable: it cannot be asked.
        """

    def close(self) -> None:
        """End the connection."""


class Ledger(Protocol):
    """The agent's memory. Every method is one transaction, durable when it returns.

    A method that changes something raises LedgerDamaged when it cannot; nothing of it is then
    written.
    """

    def open_registration(self, registration: Registration) -> None:
        """Make this the current registration (idempotent by id); all others are over."""

    def close_registration(self, registration: str, at: float) -> None:
        """The registration is over; its open jobs stay what they are."""

    def current_registration(self) -> Registration | None:
        """The one that was opened last and is not closed."""

    def record_offers(self, registration: str, offers: Sequence[Offer], at: float) -> list[JobKey]:
        """Store jobs as received; those already known are left as they are. Returns the new.

        A row with the id and the text of a job that an earlier registration of the same cluster
        with the same scheduler received, and that was not accepted, is that job: it keeps its
        key, and is from now on accepted under this registration (docs/decisions/0030).
        """

    def holders(self, registration: str, ids: Sequence[int]) -> dict[int, JobKey]:
        """The jobs that a registration's rows are, by rainbow's id; unknown ids are left out."""

    def adopt(self, jobs: Sequence[FoundJob], host: str, at: float) -> None:
        """Store jobs that only the workload manager knew, their tasks as submitting: news follow.

        Jobs that are known are left as they are; a registration that is not known is stored as
        one that is over.
        """

    def known(self, keys: Collection[JobKey]) -> set[JobKey]:
        """Which of these jobs the ledger has."""

    def registrations(self) -> set[str]:
        """Every registration that there ever was."""

    def names(self, keys: Sequence[JobKey]) -> dict[JobKey, str]:
        """The names of jobs; unknown ones are left out."""

    def jobspecs(self, keys: Sequence[JobKey]) -> dict[JobKey, str]:
        """The jobspec text of jobs, as received."""

    def unplanned(self) -> list[JobKey]:
        """Jobs in state received that have no tasks yet, oldest first."""

    def record_plans(
        self, planned: Sequence[PlannedJob], refused: Sequence[Refusal], at: float
    ) -> None:
        """Store the tasks of planned jobs (state pending); refuse the others, with reasons.

        A planned job with name "" keeps the name it was received with.
        """

    def apply(self, changes: Sequence[TaskChange]) -> list[JobChange]:
        """Write news of tasks, in order, and what follows for their jobs.

        Stale news (the same state again, or one that the task has passed) changes no state, but
        fills what was empty: flux_id, exit_code, submitted, started, finished, reason. A task
        that is not in the ledger is skipped, and so is news of another flux_id than the task
        has: a copy that somebody made of our job. A task goes back to pending from submitted or
        running only by a change with `again` and its flux_id; what was known of that job is
        forgotten then, but for the story. When a group is over, what is still open in it is over
        as well. Returns the jobs whose state moved.

        Raises:
            InvalidTransition: a final state would be left for another; nothing is written.
        """

    def tasks_in(self, states: Collection[TaskState]) -> list[TaskRow]:
        """Tasks in these states, by job and position; those of the top level, not in groups."""

    def tasks_of(self, key: JobKey) -> list[TaskRow]:
        """All tasks of a job, those in groups too, by position and replica."""

    def unaccepted(self, registration: str) -> list[int]:
        """Ids to accept next: rainbow was not told of them yet, and they are safe to let go.

        Safe means refused, or no task of its top level is pending or submitting any more.
        """

    def mark_accepted(self, registration: str, ids: Sequence[int], at: float) -> None:
        """Rainbow was told."""

    def counts(self) -> dict[JobState, int]:
        """How many jobs are in each state; every state is there."""

    def open_jobs(self) -> int:
        """Jobs that are not in a final state."""

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
        """Jobs, by time received; all states when `states` is empty.

        Args:
            states: only jobs in these; all when empty.
            limit: at most so many.
            newest_first: the last received first.
            with_tasks: whether their tasks come along.
            since: only jobs received at this time or later, epoch seconds.
            name: only jobs whose name fits this pattern (`*`, `?`, `[...]`, case counts).
        """

    def job(self, key: JobKey) -> JobRow | None:
        """One job with its tasks."""

    def ended_badly(self, limit: int) -> list[JobRow]:
        """Jobs that failed, were refused or lost, without tasks, the last to end first."""

    def find_jobs(self, job_id: int) -> list[JobKey]:
        """Jobs with this rainbow id, newest registration first."""

    def story(self, key: JobKey) -> list[StoryLine]:
        """Everything that happened to a job, oldest first."""

    def untold(self) -> list[JobKey]:
        """Jobs in a state that rainbow was not told of, by arrival."""

    def moved(self, after: int) -> tuple[int, list[JobKey]]:
        """What happened to jobs after event number `after`.

        Returns:
            The number of the last event, and the jobs that something happened to, in the order of
            the last thing.
        """

    def rows(self, keys: Sequence[JobKey]) -> list[JobRow]:
        """Jobs without their tasks, in the order given; unknown ones are left out."""

    def record_report(
        self, states: Mapping[JobKey, JobState], at: float, problem: str | None = None
    ) -> None:
        """A report was sent.

        Args:
            states: the states of jobs that it told; only what is news to rainbow is kept.
            at: epoch seconds.
            problem: why rainbow did not take it; then nothing was told.
        """

    def reports_of(self, key: JobKey) -> list[ReportLine]:
        """What rainbow was told of a job, and the reports that failed meanwhile, by time."""

    def ask_cancel(self, cancellation: Cancellation) -> bool:
        """Somebody wants a job to end. False when that was asked before, or the job is over."""

    def cancellations(self) -> list[Cancellation]:
        """Those that are not carried out yet, oldest first."""

    def cancellation_of(self, key: JobKey) -> Cancellation | None:
        """Who asked for the end of a job, if anybody did."""

    def end_cancellation(self, key: JobKey, at: float) -> None:
        """The job is over."""

    def cancel_unplanned(self, key: JobKey, reason: str, at: float) -> bool:
        """End a job that has no tasks yet; False when it has some, or is over."""

    def put_note(self, name: str, value: Any) -> None:
        """Keep a small JSON fact for status (rainbow's last contact, resources, ...)."""

    def note(self, name: str) -> Any:
        """A fact kept with put_note; None if it never was."""

    def transaction(self) -> AbstractContextManager[None]:
        """Several calls as one transaction."""

    def close(self) -> None:
        """End the connection."""
