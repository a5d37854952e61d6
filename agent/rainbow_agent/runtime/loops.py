"""How the daemon does, as its loops say it: whether they move, what is wrong, what they count.

`Telemetry` is made once by the daemon and given to every package. One that has a loop asks for its
`Loop`, which is the stop signal that its waits end on, and which beats by being looked at: a loop
that keeps asking whether it should end is a loop that moves.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.ports import Clock, StopSignal
from rainbow_agent.runtime.conditions import Condition, Conditions, loop_stuck
from rainbow_agent.runtime.counters import Counters
from rainbow_agent.runtime.fault_injection import installed


@dataclass(frozen=True)
class LoopAge:
    """How long ago a loop moved, and how long it may take. Seconds."""

    age: float
    limit: float

    @property
    def stuck(self) -> bool:
        """Whether it took longer than it may."""
        return self.age > self.limit


class LoopHealth:
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


A = TypeVar("A")
R = TypeVar("R")

#: Seconds that one turn may take where nothing else is known: the slowest single answer
#: (a workload manager's, 30 s), and half of that again.
MAX_TURN_S: Final = 45.0
#: Seconds of one wait between two beats at most.
MAX_WAIT_S: Final = 5.0


class Loop:
    """One loop's own stop signal (ports.StopSignal): asking it, or waiting on it, is a beat."""

    def __init__(
        self, name: str, beat: Callable[[], None], stop: StopSignal, limit: float = MAX_TURN_S
    ) -> None:
        self._name = name
        self._beat = beat
        self._stop = stop
        #: Seconds that one wait between two beats may take.
        self.slice = min(MAX_WAIT_S, limit / 4)

    def beat(self) -> None:
        """The loop moves."""
        if (hooks := installed()) is not None:
            hooks.hold_up(self._name)
        self._beat()

    def is_set(self) -> bool:
        """Whether to stop."""
        self.beat()
        return self._stop.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds; True when it is time to stop."""
        return self._in_slices(self._stop.wait, timeout)

    def wait_for(self, event: threading.Event, timeout: float) -> bool:
        """Wait for an event instead (a bell of the stop); True when it was set."""
        return self._in_slices(event.wait, timeout)

    def _in_slices(self, wait: Callable[[float], bool], timeout: float | None) -> bool:
        left = float("inf") if timeout is None else timeout
        while True:
            self.beat()
            part = min(left, self.slice)
            hooks = installed()
            if wait(part if hooks is None else hooks.scaled(part)):
                return True
            left -= part
            if left <= 0:
                return False


def moving(function: Callable[[A], R], beat: Callable[[], None]) -> Callable[[A], R]:
    """The function, with a beat before each call: for many of them in one turn."""

    def called(argument: A) -> R:
        beat()
        return function(argument)

    return called


class Telemetry:
    """The beats of all loops and the conditions of the daemon, for who shows them.

    Args:
        clock: what ages are measured with.
        limits: seconds that a turn of a loop may take, by its name, where that is not MAX_TURN_S.
    """

    def __init__(self, clock: Clock, limits: Mapping[str, float] | None = None) -> None:
        self.loop_health = LoopHealth(clock)
        self.conditions = Conditions(clock)
        self.counters = Counters()
        self._clock = clock
        self._limits = dict(limits or {})

    def loop(self, name: str, stop: StopSignal) -> Loop:
        """Register a loop; it is waited for from now on, until `ended`."""
        hooks = installed()
        limit = (hooks and hooks.loop_limit) or self._limits.get(name, MAX_TURN_S)
        return Loop(name, self.loop_health.loop(name, limit), stop, limit)

    def ended(self, name: str) -> None:
        """The loop ended as it should."""
        self.loop_health.forget(name)

    def called(self, method: str, seconds: float, error: Exception | None) -> None:
        """A call to rainbow ended."""
        outcome = "ok"
        if error is not None:
            outcome = error.kind if isinstance(error, RainbowAgentError) else "other"
        self.counters.calls.observe(seconds, method, outcome)

    def troubles(self) -> list[Condition]:
        """All that is wrong now: the conditions, and one for each loop that does not move."""
        now = self._clock.now()
        stuck = [
            Condition(
                loop_stuck(name),
                f"the {name} loop has not moved for {age.age:.0f} s; {age.limit:.0f} s are allowed."
                " The agent's log may say why; a restart loses nothing",
                now - age.age,
            )
            for name, age in self.loop_health.ages().items()
            if age.stuck
        ]
        return stuck + self.conditions.current()

    def facts(self) -> dict[str, Any]:
        """The keys `loops` and `conditions` of runtime.json; ages and limits in seconds."""
        return {
            "loops": {
                name: {"age": round(age.age, 3), "limit": age.limit}
                for name, age in self.loop_health.ages().items()
            },
            "conditions": [
                {"name": c.name, "reason": c.reason, "since": c.since} for c in self.troubles()
            ],
        }
