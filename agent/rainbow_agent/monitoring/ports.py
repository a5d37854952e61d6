"""What of the ledger those who look at it need; storage/ledger_*.py say what each operation does.

Each is a connection for one look, by the thread that looks; all may raise LedgerError.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rainbow_agent.core.model import Cancellation, JobKey, JobRow, ReportLine, StoryLine
from rainbow_agent.core.states import JobState
from rainbow_agent.storage.ledger_metrics import Backlog, Movements
from rainbow_agent.storage.ledger_paging import Page


class Histories(Protocol):
    """All that is known of one job."""

    def job(self, key: JobKey) -> JobRow | None: ...

    def story(self, key: JobKey) -> list[StoryLine]: ...

    def reports_of(self, key: JobKey) -> list[ReportLine]: ...

    def cancellation_of(self, key: JobKey) -> Cancellation | None: ...

    def close(self) -> None: ...


class JobPages(Protocol):
    """Jobs, some at a time."""

    def page(
        self,
        *,
        states: tuple[JobState, ...],
        before: int | None,
        text: str,
        limit: int,
        running_as: Sequence[int] | None = None,
    ) -> Page: ...

    def close(self) -> None: ...


class LedgerFigures(Protocol):
    """Numbers for metrics and probes."""

    def newest(self) -> int: ...

    def moved_since(self, event: int) -> Movements: ...

    def backlog(self) -> Backlog: ...

    def problem(self) -> str: ...

    def close(self) -> None: ...
