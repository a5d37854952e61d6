"""Stops the polling when jobs fail as soon as they start: a node that is a black hole for them.

A circuit breaker. Closed: jobs are taken. After `limit` jobs that failed within a second, one after
the other, it opens: none is taken, for a pause. Then, half open, one job at a time is tried: if it
does not fail at once all is well again, else the next pause is twice as long.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from typing import Final

from rainbow_agent.core.model import JobChange
from rainbow_agent.core.ports import Clock
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.runtime.conditions import ConditionName, Conditions

log = logging.getLogger(__name__)

#: A job that fails within so many seconds after its start did no work.
IMMEDIATE_S: Final = 1.0
#: Seconds of the first pause, and of the longest.
FIRST_PAUSE_S: Final = 15.0
MAX_PAUSE_S: Final = 600.0


class CircuitBreaker:
    """Counts how jobs end (any thread); says how many jobs may be taken (the main loop asks)."""

    def __init__(
        self, *, conditions: Conditions, clock: Clock, limit: int, first: float = FIRST_PAUSE_S
    ) -> None:
        self._conditions = conditions
        self._clock = clock
        self._limit = limit
        self._first = first
        self._guard = threading.Lock()
        self._in_a_row = 0
        self._pause = 0.0  # of now, or of the last time; 0: closed
        self._until = 0.0  # monotonic: when a job may be tried
        self._trying = False
        self._began: float | None = None  # monotonic: when the job that is tried started

    def heard(self, changes: Iterable[JobChange]) -> None:
        """Jobs moved."""
        with self._guard:
            for change in changes:
                if change.now is JobState.COMPLETED or _worked(change):
                    self._close()
                elif change.now in (JobState.FAILED, JobState.REFUSED):
                    # Refused by the workload manager; what cannot be planned does not come here.
                    self._failed(change)
                elif change.now is JobState.RUNNING:
                    self._began = self._clock.monotonic() if self._trying else None
                elif change.now in FINAL_JOB_STATES:
                    self._trying = False  # canceled, lost: that tells nothing

    def may_take(self) -> int | None:
        """How many jobs may be taken now; None: as many as there are."""
        with self._guard:
            now = self._clock.monotonic()
            if self._began is not None and now - self._began > 2 * IMMEDIATE_S:
                self._close()  # the job that was tried works
            if not self._pause:
                return None
            return 0 if now < self._until or self._trying else 1

    def took(self, jobs: int) -> None:
        """So many jobs came."""
        with self._guard:
            self._trying = bool(self._pause and jobs)

    def _failed(self, change: JobChange) -> None:
        self._in_a_row += 1
        if self._pause:
            if self._trying:  # others of the same batch say nothing new
                self._open(min(self._pause * 2, MAX_PAUSE_S), change)
        elif self._in_a_row >= self._limit:
            self._open(self._first, change)

    def _open(self, pause: float, change: JobChange) -> None:
        self._pause, self._until = pause, self._clock.monotonic() + pause
        self._trying, self._began = False, None
        reason = (
            f"{self._in_a_row} jobs one after the other failed within {IMMEDIATE_S:.0f} s of their"
            " start, or were refused by the workload manager, the last one"
            f" ({change.key.id}) with: {change.reason or 'no reason'}; no jobs are taken for"
            f" {pause:.0f} s, then one is tried"
        )
        self._conditions.set(ConditionName.BLACK_HOLE, reason)
        log.error("Black hole: %s", reason, extra={"action": "black_hole", "pause": pause})

    def _close(self) -> None:
        if self._pause:
            self._conditions.clear(ConditionName.BLACK_HOLE)
            log.warning("Jobs work again: all are taken", extra={"action": "black_hole_over"})
        self._in_a_row, self._pause, self._trying, self._began = 0, 0.0, False, None


def _worked(change: JobChange) -> bool:
    """Whether a job that failed had worked for a while."""
    return change.now is JobState.FAILED and (change.ran or 0.0) > IMMEDIATE_S
