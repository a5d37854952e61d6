"""What is said of numbers that rainbow gives a second time: its database is an older copy."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from rainbow_agent.core.model import JobKey, Offer
from rainbow_agent.core.ports import Clock
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.counters import Counters
from rainbow_agent.runtime.logs import counted

log = logging.getLogger(__name__)

#: How long the condition stays that rainbow offered numbers which were other jobs' before.
REUSE_SHOWN_S = 3600.0


class ReusedNumbers:
    """Writes the log, counts, and keeps the condition `rainbow-reuses-ids`."""

    def __init__(self, clock: Clock, conditions: Conditions, counters: Counters) -> None:
        self._clock = clock
        self._conditions = conditions
        self._counters = counters
        self._seen_at: float | None = None  # by the monotonic clock

    def say_dropped(self, registration: str, offers: Sequence[Offer]) -> None:
        """Rows that were accepted before, and are not run a second time."""
        for offer in offers:
            log.warning(
                "Rainbow offers job %d (%s) again, which was accepted before: all of the row is the"
                " same, so it is not run a second time (was rainbow's database restored from a"
                " copy? a new job with this name and text has to be submitted once more)",
                offer.id,
                offer.name,
                extra={"action": "row_dropped", "job": f"{registration}/{offer.id}"},
            )
        if offers:
            self._counters.rows.add("dropped", by=len(offers))
            self._set(
                f"rainbow offered {counted(len(offers), 'job')} again that had been accepted"
                f" ({_listed(offer.id for offer in offers)}); not run a second time"
            )

    def say_reused(self, keys: Sequence[JobKey]) -> None:
        """Jobs whose numbers were other jobs' before, and which are run like all."""
        for key in keys:
            log.warning(
                "Rainbow gave the number %d, which another job of this cluster had, to a new job"
                " (was its database restored from a copy?); here it is job %s",
                key.id,
                key,
                extra={"action": "id_reused", "job": str(key)},
            )
        if keys:
            self._counters.rows.add("reused", by=len(keys))
            self._set(
                f"rainbow offered {counted(len(keys), 'new job')} under numbers that other jobs"
                f" had ({_listed(key.id for key in keys)}); run like all others"
            )

    def forget(self) -> None:
        """Clear the condition after its time."""
        since = self._seen_at
        if since is not None and self._clock.monotonic() - since > REUSE_SHOWN_S:
            self._seen_at = None
            self._conditions.clear(ConditionName.RAINBOW_REUSES_IDS)

    def _set(self, what: str) -> None:
        self._seen_at = self._clock.monotonic()
        self._conditions.set(
            ConditionName.RAINBOW_REUSES_IDS,
            f"{what} (was its database restored from a copy?)",
        )


def _listed(ids: Iterable[int]) -> str:
    """Some numbers for a sentence."""
    found = sorted(ids)
    return ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
