"""Passes on that jobs moved, to all who have to know."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from rainbow_agent.core.model import JobChange
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.daemon.circuit_breaker import CircuitBreaker
from rainbow_agent.fleet.fleet import Fleet
from rainbow_agent.inventory.watcher import NodeWatcher
from rainbow_agent.runtime.memory import MemoryRelease

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobNews:
    """Who has to know that jobs moved."""

    fleet: Fleet
    nodes: NodeWatcher
    breaker: CircuitBreaker
    memory: MemoryRelease

    def heard(self, changes: list[JobChange]) -> None:
        """Jobs moved; from any thread."""
        self.fleet.changed(len(changes))
        self.memory.worked()
        _log_changes(changes)
        self.breaker.heard(changes)
        if any(change.now in FINAL_JOB_STATES for change in changes):
            self.nodes.jobs_ended()


def _log_changes(changes: list[JobChange]) -> None:
    """A line for each job that moved; what did not end well is worth one at the usual level."""
    for change in changes:
        bad = change.now in FINAL_JOB_STATES and change.now is not JobState.COMPLETED
        log.log(
            logging.INFO if bad else logging.DEBUG,
            "Job %d is %s%s",
            change.key.id,
            change.now.value,
            f": {change.reason}" if change.reason else "",
            extra={"action": "job", "job": str(change.key), "state": change.now.value},
        )
