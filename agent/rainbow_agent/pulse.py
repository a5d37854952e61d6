"""Whether every loop moves: each says so at each turn, and has a limit of its own.

A thread that is blocked for ever looks alive from outside. So a loop is registered with the
longest time that one turn may take, and calls its beat once a turn; `/livez`, the service
manager's watchdog and `status` read the ages.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from rainbow_agent.ports import Clock


@dataclass(frozen=True)
class LoopAge:
    """How long ago a loop moved, and how long it may take. Seconds."""

    age: float
    limit: float

    @property
    def stuck(self) -> bool:
        """Whether it took longer than it may."""
        return self.age > self.limit


class Pulse:
    """The beats of all loops. Every method may be called from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._guard = threading.Lock()
        self._limits: dict[str, float] = {}
        self._beats: dict[str, float] = {}

    def loop(self, name: str, limit: float) -> Callable[[], None]:
        """Register a loop; the first beat is now.

        Args:
            name: the loop's, as `status` shows it; registered again, it starts over.
            limit: seconds that one turn may take at most.

        Returns:
            What the loop calls at each turn.
        """

        def beat() -> None:
            with self._guard:
                self._beats[name] = self._clock.monotonic()

        with self._guard:
            self._limits[name] = limit
        beat()
        return beat

    def forget(self, name: str) -> None:
        """The loop ended as it should; it is not waited for any more."""
        with self._guard:
            self._limits.pop(name, None)
            self._beats.pop(name, None)

    def forget_all(self) -> None:
        """No loop runs any more."""
        with self._guard:
            self._limits.clear()
            self._beats.clear()

    def ages(self) -> dict[str, LoopAge]:
        """Every loop's age, by name, in the order of registration."""
        now = self._clock.monotonic()
        with self._guard:
            return {
                name: LoopAge(max(0.0, now - self._beats[name]), limit)
                for name, limit in self._limits.items()
                if name in self._beats
            }

    def stuck(self) -> list[str]:
        """The loops that took longer than they may; empty when all is well."""
        return [name for name, age in self.ages().items() if age.stuck]
