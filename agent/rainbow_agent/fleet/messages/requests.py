"""What the sender of a job asks of it, at the cluster that has it.

What asks is written to the ledger before it is taken away from rainbow; its job may come later. The
agent obeys what is signed with the key that came in the job's own jobspec, for this cluster and
this registration, whose time is not over, and whose counter is above all before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final, Protocol

from rainbow_agent.core.errors import Refused, Transient
from rainbow_agent.core.handles import Handle
from rainbow_agent.core.model import Cancellation, JobKey, Offer
from rainbow_agent.core.ports import Clock, Scheduler
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.messages.keys import has_signature
from rainbow_agent.fleet.ports import Questions
from rainbow_agent.fleet.session import Session
from rainbow_agent.runtime.fault_injection import CrashPoint, reach
from rainbow_agent.runtime.logs import clean
from rainbow_agent.storage.ledger_asked import Asked

log = logging.getLogger(__name__)

#: What can be asked.
CANCEL: Final = "cancel"
STATE: Final = "state"
EXPLAIN: Final = "explain"
LOGS: Final = "logs"
RESULTS: Final = "results"  # which files the job's results are
FILE: Final = "file"  # a piece of one
CLUSTER: Final = "cluster"  # how the cluster itself is
TAKEN: Final = "taken"  # nothing: only which messages were taken, as each question says
#: Of these, what is answered; the others show in the job's state.
_ANSWERED: Final = frozenset({EXPLAIN, LOGS, RESULTS, FILE, CLUSTER})
_KNOWN: Final = frozenset({CANCEL, STATE, TAKEN, *_ANSWERED})
#: Seconds for which a question waits for its job to come.
JOB_WAIT_S: Final = 86400.0
#: Characters of a reason that are kept.
_MAX_REASON: Final = 200


class Told(Protocol):
    """Who tells senders (messenger.Messenger)."""

    def changed(self) -> None:
        """There is something to tell."""


class Requests:
    """Used by one thread: the main loop has one, for rows, and the listener one, for its box.

    Args:
        scheduler: the thread's connection.
        ledger: likewise.
        clock: for the times.
        messenger: tells senders what came of it.
    """

    def __init__(
        self, *, scheduler: Scheduler, ledger: Questions, clock: Clock, messenger: Told
    ) -> None:
        self._scheduler = scheduler
        self._ledger = ledger
        self._clock = clock
        self._messenger = messenger
        self._some = True  # of an earlier run there may be some

    def kept_more(self) -> None:
        """Another thread has kept something for a job that may come; from any thread."""
        self._some = True

    def jobs_among(self, session: Session, offers: list[Offer]) -> list[Offer]:
        """Keep what is asked in these rows, and take it off rainbow's list; the jobs among them.

        An error of rainbow's does not keep jobs from being taken: the rows come again.
        """
        found = [(offer, rows.read(offer.name, offer.jobspec)) for offer in offers]
        messages = [(offer.id, message) for offer, message in found if message is not None]
        if not messages:
            return offers
        self.keep(session, [message for _, message in messages])
        try:
            ids = [number for number, _ in messages]
            self._scheduler.accept(session.cluster, session.secret.reveal(), ids)
        except (Transient, Refused) as exc:
            log.warning("What was asked of jobs stays in rainbow's list: %s", exc)
        return [offer for offer, message in found if message is None]

    def keep(self, session: Session, messages: Iterable[rows.Message]) -> None:
        """Keep what these ask of this cluster; they may be taken away from rainbow then."""
        at = self._clock.now()
        self._ledger.keep_asked(
            [
                Asked(part.handle, message.by, part.body, part.proof, at)
                for message in messages
                for part in message.parts
                if part.kind is rows.Kind.ASK and message.to == session.cluster
            ]
        )
        self._some = True
        reach(CrashPoint.ASKED)

    def carry_out(self, session: Session) -> None:
        """Carry out what was asked of jobs that are here; drop what is not to be believed."""
        if not self._some:
            return
        self._some = False  # before it is looked: another thread may keep something meanwhile
        waiting = self._ledger.asked()
        self._some = self._some or bool(waiting)
        for asked in waiting:
            found = self._ledger.job_of_handle(asked.handle)
            if found is None and self._clock.now() < asked.at + JOB_WAIT_S:
                continue
            content = None
            if found is not None and asked.inbox == found[1].inbox:
                content = self._believed(session, found, asked.body, asked.proof)
            with self._ledger.transaction():
                if found and content and self._ledger.count_asked(asked.handle, content["counter"]):
                    self._do(found[0], found[1], content)
                self._ledger.drop_asked([asked.seq])
            reach(CrashPoint.ASKED_DONE)
            self._messenger.changed()

    def _believed(
        self, session: Session, found: tuple[JobKey, Handle], body: bytes, proof: bytes
    ) -> dict[str, Any] | None:
        """What is asked; None where it is not by the sender, not of this job, or late."""
        key, handle = found
        signed = rows.signed(session.cluster, handle.inbox, rows.Kind.ASK, handle.id, body)
        if not has_signature(handle.verify, signed, proof):
            return None
        try:
            content = rows.unpack(body)
            good = (
                content["ask"] in _KNOWN
                and isinstance(content["counter"], int)
                and 0 < content["counter"] < 2**63
                and float(content["until"]) >= self._clock.now()
                and content.get("registration") in (None, key.registration)
                and isinstance(content.get("taken", 0), int)
                and 0 <= content.get("taken", 0) < 2**63
            )
        except (ValueError, KeyError, TypeError):
            return None
        return content if good else None

    def _do(self, key: JobKey, handle: Handle, content: dict[str, Any]) -> None:
        """In the transaction that counts it."""
        self._ledger.note_taken(handle.address, content.get("taken", 0))
        if content["ask"] == TAKEN:
            return
        if content["ask"] in _ANSWERED:
            self._ledger.add_request(key, content["counter"], content)
            return
        if content["ask"] == CANCEL:
            why = clean(str(content.get("reason") or ""))[:_MAX_REASON]
            who = f"the sender of {handle.id}"
            self._ledger.ask_cancel(Cancellation(key, self._clock.now(), who, why))
            log.info(
                "The sender of job %d asked for its cancellation",
                key.id,
                extra={"action": "asked_cancel", "job": str(key), "handle": handle.id},
            )
        self._ledger.tell_again(key)
