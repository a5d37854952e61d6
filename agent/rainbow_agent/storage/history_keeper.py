"""The thread that removes old jobs from the ledger (RAINBOW_KEEP_JOBS, RAINBOW_KEEP_FOR)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from typing import Final

from rainbow_agent.core.errors import LedgerBlocked
from rainbow_agent.core.ports import Clock, StopSignal
from rainbow_agent.storage.ledger_history import PORTION, Keep, LedgerHistory

log = logging.getLogger(__name__)

#: Seconds between looks for jobs that need not be kept any more.
KEEP_INTERVAL_S: Final = 60.0
#: Between portions the loops of the daemon have the ledger for so many times as long as a portion
#: took, and for so many seconds at least.
REST: Final = 4.0
MIN_REST_S: Final = 0.05


class HistoryKeeper:
    """Removes what need not be kept, a portion at a time.

    Args:
        open_history: opens the ledger for it.
        keep: what is kept.
        clock: for ages.
        stop: ends the thread.
        on_shrink: called before the ledger's file may become shorter, with its bytes then.
        on_removed: called when all is removed for now, if anything was.
    """

    def __init__(
        self,
        open_history: Callable[[], LedgerHistory],
        *,
        keep: Keep,
        clock: Clock,
        stop: StopSignal,
        on_shrink: Callable[[int], None],
        on_removed: Callable[[], None],
    ) -> None:
        self._open = open_history
        self._keep = keep
        self._clock = clock
        self._stop = stop
        self._on_shrink = on_shrink
        self._on_removed = on_removed

    def run(self) -> None:
        """Remove until the stop."""
        if self._keep == Keep(None, None):
            return
        while not self._stop.wait(KEEP_INTERVAL_S):
            self.tidy()

    def tidy(self) -> int:
        """Remove all that need not be kept now; how many jobs that were."""
        total = 0
        try:
            with closing(self._open()) as history:
                began = self._clock.monotonic()
                while removed := history.remove(self._keep, self._clock.now()):
                    total += removed
                    history.shrink(self._on_shrink)
                    took = self._clock.monotonic() - began
                    if removed < PORTION or self._stop.wait(max(REST * took, MIN_REST_S)):
                        break
                    began = self._clock.monotonic()
        except LedgerBlocked as exc:  # the part that has to write reports it
            log.info("Old jobs are removed from the ledger later: %s", exc)
        if total:
            self._on_removed()
            log.info(
                "Removed the details of %d old jobs from the ledger (RAINBOW_KEEP_JOBS,"
                " RAINBOW_KEEP_FOR)",
                total,
                extra={"action": "history_removed", "jobs": total},
            )
        return total
