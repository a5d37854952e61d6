"""Some of many jobs: values between the ledger and who shows lists."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rainbow_agent.model import JobKey
from rainbow_agent.states import JobState


@dataclass(frozen=True)
class Listed:
    """One job in a list. Times are epoch seconds."""

    place: int  # grows with each job that comes
    key: JobKey
    name: str
    state: JobState
    reason: str | None
    received: float
    started: float | None
    finished: float | None
    tasks: int  # replicas
    over: int  # of them


@dataclass(frozen=True)
class Page:
    """Some jobs, the newest first."""

    jobs: Sequence[Listed]
    total: int  # that match
    more: bool  # older ones match
