"""When to try again: fast while there is work, doubling when idle or broken, full jitter."""

from __future__ import annotations

import random


class Backoff:
    """The time between attempts.

    Full jitter (uniform from 0 to the current cap) keeps those who wait for the same thing out of
    step. The cap stays at its minimum for a while after the last work: work comes in bursts.
    """

    #: Seconds after the last work during which the cap stays at its minimum.
    LINGER_S = 10.0

    def __init__(self, minimum: float, maximum: float, rng: random.Random | None = None) -> None:
        self._minimum, self._maximum = minimum, maximum
        self._cap = minimum
        self._last_work: float | None = None
        self._rng = rng or random.Random()  # noqa: S311 - jitter, not a secret

    def worked(self, now: float) -> None:
        """Something came in, or an error is over."""
        self._cap, self._last_work = self._minimum, now

    def idled(self, now: float) -> None:
        """Nothing came in."""
        if self._last_work is None or now - self._last_work > self.LINGER_S:
            self._cap = min(self._cap * 2, self._maximum)

    def failed(self) -> None:
        """The other side is not well: back off at once."""
        self._last_work = None
        self._cap = min(self._cap * 2, self._maximum)

    def wait(self) -> float:
        """Seconds to wait now."""
        return self._rng.uniform(0, self._cap)

    @property
    def cap(self) -> float:
        """The most that wait() can return now."""
        return self._cap
