"""For tests/support/workload.py: a job of the in-memory workload manager."""

from __future__ import annotations

from dataclasses import dataclass, field

from rainbow_agent.core.model import TaskKey
from rainbow_agent.core.workload_values import Submission


@dataclass
class FakeJob:
    """One job in the table."""

    flux_id: int
    key: TaskKey
    submission: Submission
    waits_for: set[int] = field(default_factory=set)
    running: bool = False
    ended_well: bool | None = None  # None: it is not over

    def may_start(self) -> bool:
        """Whether it waits, and nothing keeps it."""
        return self.ended_well is None and not self.running and not self.waits_for
