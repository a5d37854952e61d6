"""This cluster in rainbow, as the daemon's main loop sees it: one object with named steps."""

from __future__ import annotations

import queue
import threading
from typing import Any

from rainbow_agent.core.errors import (
    ClusterUnknown,
    LedgerBlocked,
    RequestDenied,
    Transient,
)
from rainbow_agent.core.model import JobKey
from rainbow_agent.core.ports import Scheduler
from rainbow_agent.fleet.contact import Contact
from rainbow_agent.fleet.graph_publisher import GraphPublisher
from rainbow_agent.fleet.intake import Intake
from rainbow_agent.fleet.messages.listener import Listener
from rainbow_agent.fleet.messages.messenger import Messenger
from rainbow_agent.fleet.messages.requests import Requests
from rainbow_agent.fleet.ownership import Ownership
from rainbow_agent.fleet.ports import Handover
from rainbow_agent.fleet.registration import Registrar
from rainbow_agent.fleet.renewal import KnowsToken, Renewal, renew, rotate_secret
from rainbow_agent.fleet.reporter import Reporter
from rainbow_agent.fleet.session import Session, SessionError


class SessionErrors:
    """What rainbow was found to have lost; put in by any thread, repaired by the main loop.

    Args:
        wake: ends the main loop's wait.
    """

    def __init__(self, wake: threading.Event) -> None:
        self._wake = wake
        self._found: queue.SimpleQueue[SessionError] = queue.SimpleQueue()

    def put(self, found: SessionError) -> None:
        """Something is lost in rainbow; the main loop repairs it at once."""
        self._found.put(found)
        self._wake.set()

    def repair(self, registrar: Registrar) -> bool:
        """Repair all of it; whether there was anything.

        Raises:
            Transient, LedgerBlocked: it cannot be now; it is kept for the next call.
        """
        repaired = False
        while not self._found.empty():
            found = self._found.get()
            try:
                registrar.recover(found)
            except (Transient, LedgerBlocked):
                self._found.put(found)
                raise
            repaired = True
        return repaired


class Fleet:
    """The membership, the jobs that come in, and the reports that go out.

    All methods are the main loop's, unless they say that any thread may call them. Those that ask
    rainbow raise Transient, Refused or Fatal (core/errors.py).
    """

    def __init__(
        self,
        *,
        registrar: Registrar,
        publisher: GraphPublisher,
        ownership: Ownership,
        intake: Intake,
        reporter: Reporter,
        messenger: Messenger,
        listener: Listener,
        requests: Requests,
        contact: Contact,
        session_errors: SessionErrors,
        credentials: KnowsToken,
        ledger: Handover,
        scheduler: Scheduler,
    ) -> None:
        self._registrar = registrar
        self._publisher = publisher
        self._ownership = ownership
        self._intake = intake
        self._requests = requests
        self._session_errors = session_errors
        self._credentials = credentials
        self._ledger = ledger
        self._scheduler = scheduler
        #: The thread that reports; `run` is its loop.
        self.reporter = reporter
        #: The thread that tells the senders of jobs; `run` is its loop.
        self.messenger = messenger
        #: The thread that hears senders at once, where rainbow can; `run` is its loop.
        self.listener = listener
        #: How rainbow answers; read by any thread.
        self.contact = contact

    @property
    def session(self) -> Session | None:
        """What a call to rainbow needs; None before the registration. From any thread."""
        return self._registrar.session

    @property
    def owned(self) -> bool:
        """Whether this agent is the one that receives the cluster's jobs, as far as is known."""
        return self._ownership.held

    def changed(self, jobs: int = 0) -> None:
        """There is something to report, of so many jobs; from any thread."""
        self.reporter.changed()
        self.messenger.changed(jobs)

    # -- the membership ------------------------------------------------------------------------

    def resume(self) -> None:
        """Take up the stored session, if there is one, without asking rainbow."""
        self._registrar.resume()

    def register(self) -> Session:
        """The session: registered if need be, and what rainbow lost repaired."""
        if self._session_errors.repair(self._registrar):
            self.changed()
        first = self._registrar.session is None
        session = self._registrar.ensure()
        if first:
            self.changed()
        return session

    def resolve_ownership(self, session: Session) -> bool:
        """One step on the way to know whether this agent receives the jobs; True when it does."""
        return self._ownership.resolve(session)

    def publish(self, session: Session) -> Session:
        """Tell rainbow what changed about the cluster itself; the session from now on."""
        self._publisher.sync(session, self._renew)
        if self._registrar.session is not session:  # renewed: rainbow knows nothing of us yet
            self.changed()
            self._publisher.sync(self._registrar.ensure(), self._renew)
        return self._registrar.ensure()

    def lost(self, session: Session, exc: ClusterUnknown | RequestDenied) -> None:
        """Rainbow said no to this session; the next register() repairs it."""
        self.contact.denied(exc)
        self._session_errors.put(SessionError(session, exc))

    # -- jobs ----------------------------------------------------------------------------------

    @property
    def asked(self) -> bool:
        """Whether there was more than jobs in what was received last."""
        return self._intake.asked

    def receive(self, session: Session, limit: int | None) -> tuple[list[JobKey], bool]:
        """Ask for jobs once and write them down.

        Args:
            session: of this registration.
            limit: how many jobs; None for as many as RAINBOW_MAX_JOBS allows.

        Returns:
            The new jobs, and whether the answer was full (there may be more).
        """
        new, full = self._intake.receive(session, limit)
        self.contact.polled(found=bool(new))
        if new:
            self.changed()
        return new, full

    def accept(self, session: Session) -> None:
        """Tell rainbow which jobs are safe here."""
        self._intake.accept(session)

    def nothing_to_receive(self) -> None:
        """While no jobs are asked for: a report that rainbow took says that it is well."""
        if self.reporter.delivered is not None:
            self.contact.reported(self.reporter.delivered, self.reporter.delivered_at)
        self.contact.gives_jobs()

    def answer_other_agents(self, session: Session) -> None:
        """While no jobs are asked for: answer agents that ask who receives them, and senders."""
        others = self._ownership.look_for_questions(session)
        self._requests.jobs_among(session, others)
        self._requests.carry_out(session)

    def rotate_secret(self) -> None:
        """When nothing waits: see to it that no other agent has our secret."""
        rotate_secret(self._ownership, self._registrar, self._ledger, self._credentials)

    def all_reported(self) -> bool:
        """Whether rainbow let go of every job that is here, and all know how each is."""
        session = self.session
        return (
            session is not None
            and not self._ledger.unaccepted(session.registration)
            and self.reporter.flushed.is_set()
            and self.messenger.flushed.is_set()
        )

    def facts(self) -> dict[str, Any]:
        """The keys of runtime.json that are about the fleet; from any thread."""
        session, pool = self.session, self.reporter.pool
        return {
            "registration": session.registration if session else None,
            "rainbow": self.contact.facts(),
            "resources": pool.totals() if pool else None,
            "graph": self._publisher.facts(),
        }

    def close(self) -> None:
        """End the main loop's connection to rainbow."""
        self._scheduler.close()

    def _renew(self) -> Renewal:
        return renew(self._registrar, self._ledger, self._credentials)
