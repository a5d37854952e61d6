"""What is wrong now, each thing once, with its reason and since when.

A condition is a state, not an event: whoever sees trouble sets it (as often as it is seen) and
clears it when it is over. `status` says `degraded` while there is any.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from rainbow_agent.core.ports import Clock

#: The condition while the ledger cannot be written (errors.LedgerBlocked). Whoever meets it sets
#: it; the main loop clears it when a write went through.
LEDGER_UNWRITABLE: Final = "ledger-unwritable"


@dataclass(frozen=True)
class Condition:
    """One thing that is wrong."""

    name: str  # stable, for programs: `rainbow-unreachable`
    reason: str  # one sentence for people: what, and what to do
    since: float  # epoch seconds


class Conditions:
    """All that is wrong now. Every method may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._current: dict[str, Condition] = {}

    def set(self, name: str, reason: str) -> bool:
        """Something is wrong; True when it was not before. Its `since` stays the first time's."""
        with self._guard:
            known = self._current.get(name)
            since = known.since if known else self._clock.now()
            self._current[name] = Condition(name, reason, since)
            return known is None

    def clear(self, name: str) -> bool:
        """It is over; True when it was set."""
        with self._guard:
            return self._current.pop(name, None) is not None

    def has(self, name: str) -> bool:
        """Whether this is wrong now."""
        with self._guard:
            return name in self._current

    def current(self) -> list[Condition]:
        """What is wrong now, the oldest first."""
        with self._guard:
            return sorted(self._current.values(), key=lambda c: (c.since, c.name))
