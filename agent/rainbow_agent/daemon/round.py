"""One round of the main loop: submit, receive, submit, accept."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Final

from rainbow_agent.core.errors import (
    ClusterUnknown,
    NotDescribed,
    RainbowAgentError,
    Refused,
    RequestDenied,
    Transient,
    WorkloadUnavailable,
)
from rainbow_agent.core.ports import Clock, StopSignal
from rainbow_agent.daemon.members import Members
from rainbow_agent.fleet.session import Session
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.pace import Pace

log = logging.getLogger(__name__)

#: Seconds that a round waits for answers about submissions, where more depends on them.
SUBMIT_TURN_S: Final = 1.0


class Round:
    """Used by the main loop only.

    Args:
        members: what does the work.
        loop: the main loop's stop signal.
        pace: gets the result of each round; the main loop waits by it.
        clock: for times.
        telemetry: counts what went wrong.
    """

    def __init__(
        self,
        members: Members,
        *,
        loop: StopSignal,
        pace: Pace,
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._members = members
        self._fleet, self._jobs = members.fleet, members.jobs
        self._loop = loop
        self._pace = pace
        self._clock = clock
        self._telemetry = telemetry
        self._nothing_waits = False  # in rainbow, of what would be taken
        self._memory = members.memory

    def run(self) -> bool:
        """Submit, receive, submit, accept; True when there may be more at once."""
        if self._members.drain.look():
            self._fleet.changed()
        try:
            self._jobs.cancel_requested()
            with self._submitting_meanwhile():
                session = self._fleet.register()
            try:
                return self._exchange(session)
            except (RequestDenied, ClusterUnknown) as exc:
                self._count("poll", exc)
                self._fleet.lost(session, exc)
                return False
        except WorkloadUnavailable as exc:
            self._count("submit", exc)
            self._log_if_new("The workload manager", exc, new=self._jobs.submit_failed(exc))
        except NotDescribed as exc:  # a condition of the node watcher's says so
            self._count("describe", exc)
        except (Transient, Refused) as exc:
            self._count("poll", exc)
            self._log_if_new("Rainbow", exc, new=self._fleet.contact.failed(exc))
        self._pace.failed(self._clock.monotonic(), self._fleet.contact.answer_took)
        return False

    def _exchange(self, session: Session) -> bool:
        if not self._fleet.resolve_ownership(session):
            self._pace.worked(self._clock.monotonic())
            return False
        with self._submitting_meanwhile():
            session = self._fleet.publish(session)
        ready = self._submit()
        limit = self._receive_limit() if ready and not self._jobs.behind() else 0
        if limit == 0:
            self._fleet.accept(session)
            self._fleet.answer_other_agents(session)
            self._memory.rested()
            return self._answers_are_awaited()
        new, full = self._fleet.receive(session, limit)
        self._members.breaker.took(len(new))
        self._nothing_waits = not new
        if not new:
            self._fleet.accept(session)
            self._jobs.nothing_offered()
            self._fleet.rotate_secret()
            self._memory.rested()
            self._rested()
            return self._answers_are_awaited()
        self._pace.worked(self._clock.monotonic())
        self._memory.worked()
        self._submit()
        self._fleet.accept(session)
        return full or self._answers_are_awaited()

    # -- its steps -----------------------------------------------------------------------------

    def _submit(self) -> bool:
        """Submit what is pending. False when no more is to be received before that is done."""
        # While rainbow is away there is nothing else to do.
        turn = SUBMIT_TURN_S if self._fleet.contact.reachable else inf
        return self._jobs.submit(self._loop, turn) and not self._loop.is_set()

    @contextmanager
    def _submitting_meanwhile(self) -> Iterator[None]:
        """Rainbow is away, or wants something first: jobs that are ours already need it not."""
        try:
            yield
        except (Transient, Refused):
            if self._fleet.owned:
                self._submit()
            raise

    def _rested(self) -> None:
        """No job came; somebody who asks something may have more to ask."""
        if self._fleet.asked:
            self._pace.worked(self._clock.monotonic())
        else:
            self._pace.idled(self._fleet.contact.answer_took)

    def _answers_are_awaited(self) -> bool:
        return self._jobs.unfinished() and self._jobs.journal.caught_up.is_set()

    def _receive_limit(self) -> int | None:
        """How many jobs may be asked for now; 0 for none, None for as many as there are."""
        drained = self._members.drain.on
        if drained:
            self._nothing_waits = True
            self._fleet.nothing_to_receive()
        limit = 0 if drained else self._members.breaker.may_take()
        if limit == 0:
            self._pace.idled()
        return limit

    def nothing_left(self) -> bool:
        """Whether nothing waits in rainbow, nothing runs, and rainbow knows all of it."""
        return self._nothing_waits and self._jobs.all_over() and self._fleet.all_reported()

    def _count(self, what: str, exc: RainbowAgentError) -> None:
        self._telemetry.counters.errors.add(exc.kind)
        self._telemetry.counters.retries.add(what)

    def _log_if_new(self, who: str, exc: Exception, *, new: bool) -> None:
        if new and not self._loop.is_set():  # a poll cut short by a stop says nothing
            # Most errors name who it is themselves: "rainbow at HOST does not answer".
            prefix = "" if str(exc).lower().startswith(who.lower()) else f"{who}: "
            log.warning("%s%s", prefix, exc, extra={"action": "paused"})
