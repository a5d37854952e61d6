"""What the metrics ask the ledger for: values, and the door to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from rainbow_agent.states import JobState, TaskState


@dataclass(frozen=True)
class Ended:
    """A job that is over. Times are epoch seconds."""

    state: JobState
    received: float
    submitted: float | None  # its first task; None: none ever was
    started: float | None  # likewise
    finished: float | None  # its last task; None: it never ran


@dataclass(frozen=True)
class News:
    """What became of jobs since a look before."""

    upto: int  # the number of the last event that was looked at
    received: int = 0
    ended: tuple[Ended, ...] = ()


@dataclass(frozen=True)
class Backlog:
    """What waits, and where."""

    unplanned: int = 0  # jobs without tasks yet
    unaccepted: int = 0  # jobs that rainbow was not told of
    tasks: Mapping[TaskState, int] = field(default_factory=dict)  # those that are not over


class Measures(Protocol):
    """The ledger, for one look (adapters.sqlite_ledger_measures). All may raise LedgerDamaged."""

    def newest(self) -> int:
        """The number of the last event."""

    def news(self, since: int) -> News:
        """What became of jobs after an event; of a great many, a part."""

    def backlog(self) -> Backlog:
        """What waits, and where."""

    def problem(self) -> str:
        """Why the ledger cannot be written; "" when it can. Nothing is written."""

    def close(self) -> None:
        """End the connection."""
