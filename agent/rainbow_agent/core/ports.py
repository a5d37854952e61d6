"""The world outside as Protocols: time, the scheduler, the workload manager.

A connection (`Scheduler`, `Workload`, `Journal`) belongs to the thread that opened it. What is
needed of the ledger stands with who needs it (fleet/ports.py, jobs/ports.py, monitoring/ports.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from rainbow_agent.core.lineage import Lineage
from rainbow_agent.core.model import Credentials, Listing, SatisfyAnswer, TaskKey
from rainbow_agent.core.node_resources import PoolView
from rainbow_agent.core.obstacles import Obstacle
from rainbow_agent.core.workload_values import (
    OutputPiece,
    OutputTail,
    Submission,
    SubmitOutcome,
    TaskEvent,
    WorkloadEvent,
)


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
        """Delete the cluster. A cluster that does not exist is not an error."""

    def register_subsystem(self, cluster: str, secret: str, subsystem: str, graph: str) -> None:
        """Add a subsystem graph; `secret` is the cluster's. Rejected if it is there already."""

    def delete_subsystem(self, cluster: str, secret: str, subsystem: str) -> None:
        """Remove a subsystem graph. Rejected if it is not there."""

    def receive(self, cluster: str, secret: str, max_jobs: int) -> Listing:
        """The jobs that wait, sorted by id; at most `max_jobs`, all when it is below 1.

        The same jobs come again until they are accepted. A row that is not a job (broken JSON,
        another cluster's) comes as an Offer whose jobspec is the raw text, never as an error.
        Fewer may come than there are, and than were asked for: `whole` says so.
        """

    def accept(self, cluster: str, secret: str, ids: Sequence[int]) -> None:
        """Take jobs off rainbow's list. Unknown ids are ignored; without ids nothing is called."""

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
            WorkloadUnavailable: the connection is gone, and all that came over it was returned;
                so says each later call. Open a new journal.
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

    def expected_wait(self) -> float | None:
        """Seconds until all waiting jobs have started of which the scheduler says when.

        None: it says so of none.
        """

    def obstacles(self, *, trial: bool = False) -> list[Obstacle]:
        """What keeps jobs from being taken or started now.

        Args:
            trial: also try whether the plainest job is taken; it never runs.
        """

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

    def expected_start(self, flux_id: int) -> float | None:
        """When the scheduler expects a waiting job to start, epoch seconds; None: it does not say.

        Raises:
            WorkloadUnavailable: it cannot be asked.
        """

    def queue(self, flux_id: int) -> str:
        """The queue that a job is in; "" where it is in none with a name, or is not known.

        Raises:
            WorkloadUnavailable: it cannot be asked.
        """

    def complaints(self, flux_id: int) -> list[TaskEvent]:
        """Errors and warnings of the program that starts a job's processes, oldest first.

        Flux's job shell goes on after some: it runs a job in /tmp if its folder is not there.

        Raises:
            WorkloadUnavailable: it cannot be asked.
        """

    def output(self, flux_ids: Sequence[int], *, follow: bool) -> Iterator[OutputPiece]:
        """What jobs have written, each job's in order, and what was complained of, on stderr.

        Args:
            flux_ids: the jobs; one that is not known, or has not started, has written nothing.
            follow: go on as they write, until all of them are over.

        Raises:
            WorkloadUnavailable: it cannot be asked.
        """

    def tail(self, flux_id: int, size: int) -> OutputTail:
        """The last `size` bytes that a job has written so far, in memory for little more.

        Raises:
            WorkloadUnavailable: it cannot be asked, or has too much to say in the time there is.
        """

    def running_on(self, rank: int) -> list[int]:
        """Ids of the jobs that run on a node now, whoever submitted them.

        Raises:
            WorkloadUnavailable: it cannot be asked.
        """

    def close(self) -> None:
        """End the connection."""
