"""What of the ledger the fleet needs; storage/ledger_*.py say what each operation does."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rainbow_agent.core.model import (
    JobKey,
    JobRow,
    Offer,
    PlannedJob,
    Refusal,
    Registration,
    TaskRow,
)
from rainbow_agent.core.states import JobState, TaskState


class Notes(Protocol):
    """Small JSON facts that outlive a run."""

    def note(self, name: str) -> Any: ...

    def put_note(self, name: str, value: Any) -> None: ...


class Registrations(Notes, Protocol):
    """For the registrar: which registration is the current one."""

    def open_registration(self, registration: Registration) -> None: ...

    def current_registration(self) -> Registration | None: ...

    def registrations(self) -> set[str]: ...


class Offers(Protocol):
    """For the inbox: jobs as they come, and which of them rainbow can let go."""

    def transaction(self) -> AbstractContextManager[None]: ...

    def record_offers(
        self, registration: str, offers: Sequence[Offer], at: float
    ) -> list[JobKey]: ...

    def record_plans(
        self, planned: Sequence[PlannedJob], refused: Sequence[Refusal], at: float
    ) -> None: ...

    def let_go(self, registration: str, ids: Sequence[int]) -> set[int]: ...

    def unaccepted(self, registration: str) -> list[int]: ...

    def mark_accepted(self, registration: str, ids: Sequence[int], at: float) -> None: ...


class Handover(Notes, Protocol):
    """For a renewal: whether all that rainbow offered is safe here."""

    def unaccepted(self, registration: str) -> list[int]: ...

    def unplanned(self) -> list[JobKey]: ...

    def tasks_in(self, states: Collection[TaskState]) -> list[TaskRow]: ...


class Reports(Protocol):
    """For the reporter: which state of which job rainbow knows."""

    def unreported(self) -> list[JobKey]: ...

    def moved(self, after: int) -> tuple[int, list[JobKey]]: ...

    def record_report(
        self, states: Mapping[JobKey, JobState], at: float, problem: str | None = None
    ) -> None: ...

    def counts(self) -> dict[JobState, int]: ...

    def jobs(
        self, *, limit: int | None = None, newest_first: bool = False, with_tasks: bool = True
    ) -> list[JobRow]: ...

    def find_jobs(self, job_id: int) -> list[JobKey]: ...

    def rows(self, keys: Sequence[JobKey]) -> list[JobRow]: ...

    def close(self) -> None: ...
