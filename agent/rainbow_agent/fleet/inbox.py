"""From rainbow to the ledger, and back: receive, then accept what is safe."""

from __future__ import annotations

import logging
from collections.abc import Callable

from rainbow_agent.core.model import JobKey, Offer, Refusal
from rainbow_agent.core.ports import Clock, Scheduler
from rainbow_agent.fleet.ports import Offers
from rainbow_agent.fleet.registration import Session
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.fault_injection import CrashPoint, reach
from rainbow_agent.runtime.logs import counted

log = logging.getLogger(__name__)


class Inbox:
    """Takes jobs in; tells rainbow to let go of them once they are safe."""

    def __init__(
        self,
        *,
        scheduler: Scheduler,
        ledger: Offers,
        clock: Clock,
        max_jobs: int,
        conditions: Conditions | None = None,
        hear: Callable[[Session, list[Offer]], list[Offer]] = lambda _, offers: offers,
    ) -> None:
        """`hear` is given all rows, and gives back those that are jobs (claim.Claim.hear)."""
        self._hear = hear
        self._conditions = conditions or Conditions(clock)
        self._odd: set[JobKey] = set()  # whose id another text came under; each is told once
        self._scheduler = scheduler
        self._ledger = ledger
        self._clock = clock
        self._max_jobs = max_jobs

    def receive(self, session: Session, most: int | None = None) -> tuple[list[JobKey], bool]:
        """Ask for jobs once and write them down; for at most `most` if it is given.

        Returns:
            The jobs that are new, and whether the answer was full (there may be more).
        """
        wanted = self._max_jobs if most is None else min(most, self._max_jobs)
        rows = self._scheduler.receive(session.cluster, session.secret.reveal(), wanted)
        offers = self._hear(session, rows)
        if not offers:
            self._say_reused(set())
            return [], False
        reach(CrashPoint.RECEIVED)
        new = self._write(session, offers)
        if len(new) < len(offers):
            self._known_again(session, offers, set(new))
        else:
            self._say_reused(set())
        reach(CrashPoint.WRITTEN)
        if new:
            log.info(
                "Received %s",
                counted(len(new), "new job"),
                extra={"action": "received", "new": len(new), "offered": len(offers)},
            )
        return new, most is None and len(rows) >= self._max_jobs

    def _write(self, session: Session, offers: list[Offer]) -> list[JobKey]:
        """Store what came; a row that is no job for us is refused with the reason, at once."""
        at = self._clock.now()
        problems = {JobKey(session.registration, o.id): o.problem for o in offers if o.problem}
        with self._ledger.transaction():
            new = self._ledger.record_offers(session.registration, offers, at)
            refused = [Refusal(key, problems[key]) for key in new if key in problems]
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

    def _known_again(self, session: Session, offers: list[Offer], new: set[JobKey]) -> None:
        """Rows that we have already: most wait to be accepted, and soon are.

        One that rainbow was told of before comes again when its database was put back to an older
        state: told again, or it would fill every answer from now on. The same id with other
        content is another job under a name that is taken; a human has to look at that.
        """
        holders = self._ledger.holders(session.registration, [o.id for o in offers])
        known = {holders[o.id]: o for o in offers if o.id in holders}
        known = {key: offer for key, offer in known.items() if key not in new}
        texts = self._ledger.jobspecs(list(known))
        again: list[int] = []
        odd: set[JobKey] = set()
        for key, offer in known.items():
            row = self._ledger.job(key)
            if texts[key] != offer.jobspec:
                odd.add(key)
            elif row is not None and row.accepted is not None:
                again.append(offer.id)
        self._say_reused(odd)
        self._scheduler.accept(session.cluster, session.secret.reveal(), again)

    def _say_reused(self, odd: set[JobKey]) -> None:
        """Say which jobs of rainbow's list are not run, since their ids are taken: each once."""
        for key in sorted(odd - self._odd):
            log.error(
                "Rainbow offers another job under the id %d, which this cluster had before"
                " (was its database restored from a copy?); it is not run: deregister and"
                " register this cluster",
                key.id,
                extra={"action": "id_reused", "job": str(key)},
            )
        self._odd = odd
        if odd:
            ids = ", ".join(str(key.id) for key in sorted(odd)[:5])
            self._conditions.set(
                ConditionName.RAINBOW_REUSES_IDS,
                f"rainbow offers {counted(len(odd), 'job')} under ids that other jobs have"
                f" ({ids}); they are not run (was its database restored from a copy?): deregister"
                " and register this cluster",
            )
        else:
            self._conditions.clear(ConditionName.RAINBOW_REUSES_IDS)
