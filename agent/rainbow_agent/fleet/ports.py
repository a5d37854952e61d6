"""What the fleet needs of others: the ledger, the store of secrets, who follows the registration.

storage/ledger_*.py say what each operation of the ledger does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from rainbow_agent.core.handles import Handle, SenderAddress
from rainbow_agent.core.model import (
    Cancellation,
    Credentials,
    JobKey,
    JobRow,
    Offer,
    PlannedJob,
    Refusal,
    Registration,
    TaskRow,
)
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.storage.ledger_asked import Asked, Request
from rainbow_agent.storage.ledger_handles import Unread, Untold


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
    """For the intake: jobs as they come, and which of them rainbow can let go."""

    def transaction(self) -> AbstractContextManager[None]: ...

    def record_offers(
        self, registration: str, offers: Sequence[Offer], at: float
    ) -> list[JobKey]: ...

    def record_handles(self, handles: Mapping[JobKey, Handle]) -> None: ...

    def record_plans(
        self, planned: Sequence[PlannedJob], refused: Sequence[Refusal], at: float
    ) -> list[Refusal]: ...

    def let_go(self, registration: str, ids: Sequence[int]) -> set[int]: ...

    def unaccepted(self, registration: str) -> list[int]: ...

    def mark_accepted(
        self, registration: str, ids: Sequence[int], at: float, cause: str = ...
    ) -> None: ...

    def known_rows(self, registration: str, offers: Sequence[Offer]) -> set[int]: ...

    def jobs_of_rows(self, registration: str, offers: Sequence[Offer]) -> dict[int, JobKey]: ...

    def kept(self, registration: str) -> int: ...


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


class HandleNews(Protocol):
    """For the messenger: what the senders of jobs do not know yet."""

    def transaction(self) -> AbstractContextManager[None]: ...

    def untold(
        self, limit: int, besides: Collection[str] = (), full: Collection[SenderAddress] = ()
    ) -> list[Untold]: ...

    def note_row(self, to: SenderAddress, turn: int, size: int, at: float, keep: float) -> None: ...

    def unread(self, since: float) -> dict[SenderAddress, Unread]: ...

    def mark_told(self, told: Sequence[tuple[JobKey, str, int]]) -> None: ...

    def requests(self, limit: int) -> list[Request]: ...

    def end_request(self, seq: int) -> None: ...

    def close(self) -> None: ...


class Questions(Protocol):
    """For what the senders of jobs ask."""

    def transaction(self) -> AbstractContextManager[None]: ...

    def keep_asked(self, asked: Sequence[Asked]) -> None: ...

    def asked(self) -> list[Asked]: ...

    def drop_asked(self, seqs: Collection[int]) -> None: ...

    def job_of_handle(self, handle: str) -> tuple[JobKey, Handle] | None: ...

    def count_asked(self, handle: str, counter: int) -> bool: ...

    def ask_cancel(self, cancellation: Cancellation) -> bool: ...

    def tell_again(self, key: JobKey) -> None: ...

    def note_taken(self, by: SenderAddress, turn: int) -> None: ...

    def add_request(self, key: JobKey, counter: int, content: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


class CredentialStore(Protocol):
    """Where the cluster's secret is kept (credentials.ConfigFileStore)."""

    def load(self) -> Secret | None:
        """The stored secret of this cluster; None when there is none."""

    def save(self, credentials: Credentials) -> None:
        """Store credentials; durable when it returns."""

    def check(self) -> None:
        """Make sure that save() can work: a secret is given once only.

        Raises:
            UsageError: it cannot, and why.
        """

    def copy(self) -> Secret | None:
        """The agent's own copy of the secret that was saved last; None when there is none."""

    def put_back(self, secret: Secret) -> None:
        """Store the secret in the place of another one.

        Raises:
            UsageError: it cannot be.
        """

    def describe(self) -> str:
        """Where that is, for messages."""


class OwnershipEvents(Protocol):
    """Called by the registrar when the cluster has credentials (ownership.Ownership)."""

    def found(self, registration: str, *, known: bool) -> None:
        """They were there at the start; `known`: the ledger knew their registration before."""

    def registered(self, registration: str) -> None:
        """Rainbow gave them to us now."""

    def replaced(self, registration: str) -> None:
        """Somebody put them there while we ran."""

    def may_renew(self) -> bool:
        """Whether others with this secret know by now that we own the cluster."""


class GraphEvents(Protocol):
    """Called by the registrar when the server's graph changes (graph_publisher.GraphPublisher)."""

    def placed(self, registration: str, graph: str) -> None:
        """The server has this graph now, and no subsystem on it."""

    def lost(self, registration: str) -> None:
        """The server has no graph of ours; it is about to get one."""

    def kept(self) -> None:
        """It had one after all: somebody was quicker."""
