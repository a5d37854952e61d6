"""From rainbow to the ledger, and back: receive, then accept what is safe.

AcceptJobs names numbers only, and rainbow gives numbers twice once its database was put back to an
older copy. So only a row that rainbow has just listed, and that is in the ledger, is accepted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

from rainbow_agent.core.handles import Handle
from rainbow_agent.core.model import JobKey, Listing, Offer, Refusal
from rainbow_agent.core.ports import Clock, Scheduler
from rainbow_agent.fleet.ports import Offers
from rainbow_agent.fleet.reused_numbers import ReusedNumbers
from rainbow_agent.fleet.session import Session
from rainbow_agent.jobspec.handle import find
from rainbow_agent.runtime.conditions import Conditions
from rainbow_agent.runtime.counters import Counters
from rainbow_agent.runtime.fault_injection import CrashPoint, reach
from rainbow_agent.runtime.logs import counted

log = logging.getLogger(__name__)

#: Seconds for which rainbow is taken to have what it listed. A rainbow that was started anew has no
#: graph of the cluster, and so gives it no new job before the next round loads the graph.
LISTING_HOLDS_S: Final = 1.0


class _Listed(NamedTuple):
    """What the last answer of ReceiveJobs said.

    Attributes:
        registration: who was answered.
        at: when, by the monotonic clock.
        stored: numbers whose rows are in the ledger.
        others: numbers of the other rows.
        whole: whether rainbow has no other rows.
    """

    registration: str
    at: float
    stored: frozenset[int]
    others: frozenset[int]
    whole: bool


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
        stored: Callable[[Session], None] = lambda _: None,
    ) -> None:
        """`jobs_among` takes all rows and returns the jobs; `stored`: these are in the ledger."""
        self._jobs_among = jobs_among
        self._stored = stored
        self._reused = ReusedNumbers(clock, conditions or Conditions(clock), counters or Counters())
        self._scheduler = scheduler
        self._ledger = ledger
        self._clock = clock
        self._max_jobs = max_jobs
        self._listed: _Listed | None = None
        #: Whether there were rows in the last listing that are no jobs: somebody asks something.
        self.asked = False

    def receive(self, session: Session, limit: int | None = None) -> tuple[list[JobKey], bool]:
        """Ask for jobs once and write them down; for at most `limit` if it is given.

        Returns:
            The jobs that are new, and whether the answer was full (there may be more).
        """
        most = self._max_jobs if limit is None else min(limit, self._max_jobs)
        # What is here and not accepted yet, as what waits for nodes, comes again with the rest.
        kept = self._ledger.kept(session.registration)
        rows, new = self._ask(session, most + kept, most)
        if new:
            log.info(
                "Received %s",
                counted(len(new), "new job"),
                extra={"action": "received", "new": len(new), "offered": len(rows)},
            )
        return new, limit is None and len(rows) >= most + kept

    def accept(self, session: Session) -> int:
        """Tell rainbow which jobs are ours for good; how many there were.

        A listing that is too old is made anew first; new jobs in it are left to receive().
        """
        ids = self._ledger.unaccepted(session.registration)
        if not ids:
            return 0
        listed = self._listed
        if (
            listed is None
            or listed.registration != session.registration
            or self._clock.monotonic() - listed.at > LISTING_HOLDS_S
        ):
            self._ask(session, self._max_jobs + self._ledger.kept(session.registration), 0)
            ids = self._ledger.unaccepted(session.registration)
        return self._let_go(session, ids)

    def _ask(self, session: Session, rows: int, most: int) -> tuple[Listing, list[JobKey]]:
        """Have rainbow list so many rows; store those that are known, and `most` new ones."""
        listing = self._scheduler.receive(session.cluster, session.secret.reveal(), rows)
        at = self._clock.monotonic()
        offers = self._jobs_among(session, listing)
        self.asked = len(offers) < len(listing)
        if len(offers) > most:
            offers = self._at_most(session, offers, most)
        new: list[JobKey] = []
        self._reused.forget()
        if offers:
            reach(CrashPoint.RECEIVED)
            new = self._write(session, offers)
            reach(CrashPoint.WRITTEN)
            self._reused.say_reused([k for k in new if k.registration != session.registration])
        self._stored(session)
        stored = frozenset(offer.id for offer in offers)
        others = frozenset(offer.id for offer in listing) - stored
        self._listed = _Listed(session.registration, at, stored, others, listing.whole)
        if len(new) < len(offers):
            self._let_go_again(session, offers, {key.id for key in new})
        return listing, new

    def _at_most(self, session: Session, offers: list[Offer], most: int) -> list[Offer]:
        """The rows that are known, and so many of the others."""
        known = self._ledger.known_rows(session.registration, offers)
        new = [offer.id for offer in offers if offer.id not in known][:most]
        taken = known.union(new)
        return [offer for offer in offers if offer.id in taken]

    def _write(self, session: Session, offers: list[Offer]) -> list[JobKey]:
        """Store what came; a row that is not a job for us is refused with the reason, at once."""
        at = self._clock.now()
        problems = {offer.id: offer.problem for offer in offers if offer.problem}
        with self._ledger.transaction():
            new = self._ledger.record_offers(session.registration, offers, at)
            self._ledger.record_handles(self._handles(session.registration, offers, new))
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

    def _handles(
        self, registration: str, offers: Iterable[Offer], new: Iterable[JobKey]
    ) -> dict[JobKey, Handle]:
        """The handles in rows; a job that was found in the workload manager has none before."""
        found = {offer.id: handle for offer in offers if (handle := find(offer.jobspec))}
        keys = {key.id: key for key in new}
        known = [offer for offer in offers if offer.id in found and offer.id not in keys]
        keys |= self._ledger.jobs_of_rows(registration, known) if known else {}
        return {keys[number]: handle for number, handle in found.items() if number in keys}

    def _let_go(self, session: Session, ids: Collection[int]) -> int:
        """Accept what rainbow listed; of what it does not have any more, note that only."""
        listed = self._listed
        assert listed is not None  # noqa: S101 - accept() saw to it
        told = [job for job in ids if job in listed.stored]
        if told:
            self._scheduler.accept(session.cluster, session.secret.reveal(), told)
            reach(CrashPoint.ACCEPTED)
        gone = [
            job
            for job in ids
            if job not in listed.stored and (listed.whole or job in listed.others)
        ]
        at = self._clock.now()
        with self._ledger.transaction():
            self._ledger.mark_accepted(session.registration, told, at)
            self._ledger.mark_accepted(session.registration, gone, at, "rainbow has no such row")
        if told or gone:
            reach(CrashPoint.LET_GO)
            done = len(told) + len(gone)
            log.info(
                "Accepted %s",
                counted(done, "job"),
                extra={"action": "accepted", "jobs": done, "gone": len(gone)},
            )
        return len(told) + len(gone)

    def _let_go_again(self, session: Session, offers: list[Offer], new: set[int]) -> None:
        """Rows that are here already: most wait to be accepted, and soon are.

        One that was accepted before comes again when its database was put back to an older
        copy: it is accepted again, or it would fill every answer from now on.
        """
        known = [offer for offer in offers if offer.id not in new]
        again = self._ledger.let_go(session.registration, [offer.id for offer in known])
        self._reused.say_dropped(
            session.registration, [offer for offer in known if offer.id in again]
        )
        self._scheduler.accept(session.cluster, session.secret.reveal(), sorted(again))
