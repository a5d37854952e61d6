"""What of the ledger the jobs need; storage/ledger_*.py say what each operation does."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rainbow_agent.core.model import (
    Cancellation,
    FoundJob,
    JobChange,
    JobKey,
    JobRow,
    PlannedJob,
    Refusal,
    TaskChange,
    TaskRow,
)
from rainbow_agent.core.states import TaskState
from rainbow_agent.storage.ledger_denials import Denial


class Tasks(Protocol):
    """Tasks by state, and changes of them."""

    def tasks_in(self, states: Collection[TaskState]) -> list[TaskRow]: ...

    def apply(self, changes: Sequence[TaskChange]) -> list[JobChange]: ...


class Submissions(Tasks, Protocol):
    """For the dispatcher: what is to be planned and submitted."""

    def transaction(self) -> AbstractContextManager[None]: ...

    def unplanned(self) -> list[JobKey]: ...

    def jobspecs(self, keys: Sequence[JobKey]) -> dict[JobKey, str]: ...

    def awaited(self) -> set[JobKey]: ...

    def names(self, keys: Sequence[JobKey]) -> dict[JobKey, str]: ...

    def row_digests(self, keys: Sequence[JobKey]) -> dict[JobKey, str]: ...

    def record_plans(
        self, planned: Sequence[PlannedJob], refused: Sequence[Refusal], at: float
    ) -> list[Refusal]: ...

    def record_inside(self, planned: PlannedJob, at: float) -> None: ...

    def tasks_of(self, key: JobKey) -> list[TaskRow]: ...

    def note(self, name: str) -> Any: ...

    def denials(self) -> list[Denial]: ...

    def put_wait(self, denial: Denial, nodes: str | None) -> None: ...


class Followed(Tasks, Protocol):
    """For the journal's follower: what is known, and what only the workload manager knew."""

    def transaction(self) -> AbstractContextManager[None]: ...

    def registrations(self) -> set[str]: ...

    def known(self, keys: Collection[JobKey]) -> set[JobKey]: ...

    def unplanned(self) -> list[JobKey]: ...

    def adopt(self, jobs: Sequence[FoundJob], host: str, at: float) -> None: ...

    def note(self, name: str) -> Any: ...

    def put_note(self, name: str, value: Any) -> None: ...

    def close(self) -> None: ...


class Cancellations(Protocol):
    """For the canceler: who asked for the end of which job."""

    def cancellations(self) -> list[Cancellation]: ...

    def end_cancellation(self, key: JobKey, at: float) -> None: ...

    def cancel_unplanned(self, key: JobKey, reason: str, at: float) -> bool: ...

    def job(self, key: JobKey) -> JobRow | None: ...

    def apply(self, changes: Sequence[TaskChange]) -> list[JobChange]: ...


class OnTheirWay(Submissions, Cancellations, Protocol):
    """For all that the main loop does with jobs."""

    def open_jobs(self) -> int: ...
