"""When rainbow answered the main loop last, what is wrong since, and the conditions that say so."""

from __future__ import annotations

import logging
from typing import Any, Final

from rainbow_agent.core.errors import RainbowAgentError, Transient
from rainbow_agent.core.ports import Clock
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.loops import Loop, Telemetry

log = logging.getLogger(__name__)

#: The call whose answers show how rainbow does: the same question again and again.
_POLL: Final = "ReceiveJobs"
#: While one of these holds, rainbow gives this cluster no jobs.
NO_JOBS: Final = (
    ConditionName.RAINBOW_UNREACHABLE,
    ConditionName.RAINBOW_DENIED,
    ConditionName.RAINBOW_REFUSES,
)


class Contact:
    """Kept by the main loop; its attributes are read by any thread.

    Args:
        clock: for the times.
        telemetry: has the conditions, and counts the calls.
        loop: the main loop's; an answer shows that it moves.
    """

    def __init__(self, clock: Clock, telemetry: Telemetry, loop: Loop) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._conditions = telemetry.conditions
        self._loop = loop
        #: None until rainbow was asked for the first time.
        self.reachable: bool | None = None
        #: When it answered last, epoch seconds.
        self.last_contact: float | None = None
        #: The same by the monotonic clock.
        self.answered_at: float | None = None
        #: What is wrong; "" when nothing is.
        self.problem = ""
        #: Seconds that its last answer about jobs took, or was waited for in vain.
        self.answer_took = 0.0
        self._silent_since: float | None = None  # by the monotonic clock

    def called(self, method: str, seconds: float, error: Exception | None) -> None:
        """A call of the main loop ended (RainbowScheduler's on_call)."""
        self._loop.beat()
        self._telemetry.called(method, seconds, error)
        if method == _POLL and (error is None or seconds > self.answer_took):
            self.answer_took = seconds
        if error is None:
            self._answered(self._clock.now(), self._clock.monotonic())
            self._conditions.clear(ConditionName.RAINBOW_UNREACHABLE)

    def polled(self, *, found: bool) -> None:
        """Rainbow answered a poll, with jobs or without: nothing is wrong."""
        self._telemetry.counters.polls.add("jobs" if found else "empty")
        self._answered(self._clock.now(), self._clock.monotonic())
        self.gives_jobs()

    def reported(self, at: float, at_monotonic: float | None) -> None:
        """Rainbow took a report, while it is not polled."""
        self._answered(at, at_monotonic)

    def gives_jobs(self) -> None:
        """It would give jobs."""
        for name in NO_JOBS:
            self._conditions.clear(name)

    def well(self) -> bool:
        """Whether rainbow gives jobs, as far as is known; from any thread."""
        return not any(self._conditions.has(name) for name in NO_JOBS)

    def denied(self, exc: RainbowAgentError) -> None:
        """It does not know us, or lost our graph."""
        self._conditions.set(ConditionName.RAINBOW_DENIED, str(exc))

    def failed(self, exc: RainbowAgentError) -> bool:
        """A call failed; True when this is a new problem."""
        transient = isinstance(exc, Transient)
        self._conditions.set(
            ConditionName.RAINBOW_UNREACHABLE if transient else ConditionName.RAINBOW_REFUSES,
            str(exc),
        )
        if transient and self._silent_since is None:
            self._silent_since = self._clock.monotonic()
        fresh = str(exc) != self.problem
        self.reachable, self.problem = False, str(exc)
        return fresh

    def facts(self) -> dict[str, Any]:
        """The key `rainbow` of runtime.json."""
        return {
            "reachable": self.reachable,
            "last_contact": self.last_contact,
            "problem": self.problem,
        }

    def _answered(self, at: float, at_monotonic: float | None) -> None:
        if self._silent_since is not None:
            seconds = self._clock.monotonic() - self._silent_since
            self._silent_since = None
            log.info(
                "Rainbow answers again, after %.0f s",
                seconds,
                extra={"action": "rainbow_answers", "seconds": round(seconds, 1)},
            )
        self.reachable, self.last_contact, self.problem = True, at, ""
        if at_monotonic is not None:
            self.answered_at = at_monotonic
