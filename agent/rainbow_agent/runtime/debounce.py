"""After a change, wait until it is quiet: a package manager writes its database many times."""

from __future__ import annotations

from rainbow_agent.core.ports import Clock

#: Seconds of quiet after a change.
QUIET_S = 2.0
#: Seconds after which a change that never becomes quiet counts all the same.
MAX_DELAY_S = 30.0


class Debounce:
    """Changes come in; `due()` says when to act on them."""

    def __init__(
        self, clock: Clock, quiet: float = QUIET_S, max_delay: float = MAX_DELAY_S
    ) -> None:
        self._clock = clock
        self._quiet = quiet
        self._max_delay = max_delay
        self._first: float | None = None
        self._last = 0.0

    def touch(self) -> None:
        """Something changed."""
        self._last = self._clock.monotonic()
        if self._first is None:
            self._first = self._last

    @property
    def changed(self) -> bool:
        """Whether something changed that was not acted on yet."""
        return self._first is not None

    def left(self) -> float:
        """Seconds until it is due; infinity when nothing changed, 0 or less when it is."""
        if self._first is None:
            return float("inf")
        due = min(self._last + self._quiet, self._first + self._max_delay)
        return due - self._clock.monotonic()

    def due(self) -> bool:
        """Whether to act now."""
        return self.left() <= 0

    def reset(self) -> None:
        """It was acted on."""
        self._first = None
