"""From rainbow to the ledger, and back: receive, then accept what is safe."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from rainbow_agent.core.model import JobKey, Offer, Refusal
from rainbow_agent.core.ports import Clock, Scheduler
from rainbow_agent.fleet.ports import Offers
from rainbow_agent.fleet.session import Session
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.counters import Counters
from rainbow_agent.runtime.fault_injection import CrashPoint, reach
from rainbow_agent.runtime.logs import counted

log = logging.getLogger(__name__)

#: How long the condition stays that rainbow offered numbers which were other jobs' before.
REUSE_SHOWN_S = 3600.0


class Intake:
    """Takes jobs in; tells rainbow to let go of them once they are safe."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        ledger: Offers,
        clock: Clock,
        max_jobs: int,
        conditions: Conditions | None = None,
        counters: Counters | None = None,
        jobs_among: Callable[[Session, list[Offer]], list[Offer]] = lambda _, offers: offers,
    ) -> None:
        """`jobs_among` takes all rows and returns the jobs (Ownership.answer_questions)."""
        self._jobs_among = jobs_among
        self._conditions = conditions or Conditions(clock)
        self._counters = counters or Counters()
        self._reused_at: float | None = None  # by the monotonic clock
        self._scheduler = scheduler
        self._ledger = ledger
        self._clock = clock
        self._max_jobs = max_jobs

    def receive(self, session: Session, limit: int | None = None) -> tuple[list[JobKey], bool]:
        """Ask for jobs once and write them down; for at most `limit` if it is given.

        Returns:
            The jobs that are new, and whether the answer was full (there may be more).
        """
        wanted = self._max_jobs if limit is None else min(limit, self._max_jobs)
        rows = self._scheduler.receive(session.cluster, session.secret.reveal(), wanted)
        offers = self._jobs_among(session, rows)
        self._forget_reuse()
        if not offers:
            return [], False
        reach(CrashPoint.RECEIVED)
        new = self._write(session, offers)
        reach(CrashPoint.WRITTEN)
        self._say_reused([key for key in new if key.registration != session.registration])
        if len(new) < len(offers):
            self._let_go_again(session, offers, {key.id for key in new})
        if new:
            log.info(
                "Received %s",
                counted(len(new), "new job"),
                extra={"action": "received", "new": len(new), "offered": len(offers)},
            )
        return new, limit is None and len(rows) >= self._max_jobs

    def _write(self, session: Session, offers: list[Offer]) -> list[JobKey]:
        """Store what came; a row that is not a job for us is refused with the reason, at once."""
        at = self._clock.now()
        problems = {offer.id: offer.problem for offer in offers if offer.problem}
        with self._ledger.transaction():
            new = self._ledger.record_offers(session.registration, offers, at)
            refused = [Refusal(key, problems[key.id]) for key in new if key.id in problems]
            self._ledger.record_plans([], refused, at)
        for refusal in refused:
            log.warning(
                "Refused job %d of rainbow's list: %s",
                refusal.key.id,
                refusal.reason,
                extra={"action": "odd_row", "job": str(refusal.key)},
            )
        return new

    def accept(self, session: Session) -> int:
        """Tell rainbow which jobs are ours for good; how many there were."""
        ids = self._ledger.unaccepted(session.registration)
        if ids:
            self._scheduler.accept(session.cluster, session.secret.reveal(), ids)
            reach(CrashPoint.ACCEPTED)
            self._ledger.mark_accepted(session.registration, ids, self._clock.now())
            reach(CrashPoint.LET_GO)
            log.info(
                "Accepted %s",
                counted(len(ids), "job"),
                extra={"action": "accepted", "jobs": len(ids)},
            )
        return len(ids)

    def _let_go_again(self, session: Session, offers: list[Offer], new: set[int]) -> None:
        """Rows that are here already: most wait to be accepted, and soon are.

        One that was accepted before comes again when its database was put back to an older
        copy: it is accepted again, or it would fill every answer from now on.
        """
        known = [offer for offer in offers if offer.id not in new]
        again = self._ledger.let_go(session.registration, [offer.id for offer in known])
        dropped = [offer for offer in known if offer.id in again]
        for offer in dropped:
            log.warning(
                "Rainbow offers job %d (%s) again, which was accepted before: all of the row is the"
                " same, so it is not run a second time (was rainbow's database restored from a"
                " copy? a new job with this name and text has to be submitted once more)",
                offer.id,
                offer.name,
                extra={"action": "row_dropped", "job": f"{session.registration}/{offer.id}"},
            )
        if dropped:
            self._counters.rows.add("dropped", by=len(dropped))
            self._set_reused(
                f"rainbow offered {counted(len(dropped), 'job')} again that had been accepted"
                f" ({_listed(offer.id for offer in dropped)}); not run a second time"
            )
        self._scheduler.accept(session.cluster, session.secret.reveal(), sorted(again))

    def _say_reused(self, keys: list[JobKey]) -> None:
        """Jobs whose numbers were other jobs' before: they are run like all, and that is said."""
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
            self._set_reused(
                f"rainbow offered {counted(len(keys), 'new job')} under numbers that other jobs"
                f" had ({_listed(key.id for key in keys)}); run like all others"
            )

    def _set_reused(self, what: str) -> None:
        self._reused_at = self._clock.monotonic()
        self._conditions.set(
            ConditionName.RAINBOW_REUSES_IDS,
            f"{what} (was its database restored from a copy?)",
        )

    def _forget_reuse(self) -> None:
        since = self._reused_at
        if since is not None and self._clock.monotonic() - since > REUSE_SHOWN_S:
            self._reused_at = None
            self._conditions.clear(ConditionName.RAINBOW_REUSES_IDS)


def _listed(ids: Iterable[int]) -> str:
    """Some numbers for a sentence."""
    found = sorted(ids)
    return ", ".join(map(str, found[:5])) + (", ..." if len(found) > 5 else "")
