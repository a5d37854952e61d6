"""The cluster's membership in the fleet: get a secret once, keep it, repair what can be repaired.

What the server does (rainbow at 075ee23) and what follows from it:

- Register gives a secret once, EXISTS ever after: the secret is on disk before anything else.
- Restarted with its database, the server has lost the graph only: `ClusterUnknown`; the graph is
  loaded again and the secret stays good.
- Restarted without it: `request denied`; a new registration, whose job ids start at 1 again. It
  takes a graph of a cluster that it does not have: then the row of the next registration is made
  and its secret kept back, so no graph is loaded before the secret was seen to be good.
- `request denied` is also what it says while it cannot read its database: only a denial that stays
  one, of a cluster that is still there, means that the secret was changed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn

from rainbow_agent.core.errors import (
    ClusterExists,
    ClusterUnknown,
    Fatal,
    GraphExists,
    LedgerBlocked,
    Rejected,
    RequestDenied,
    Unavailable,
    UsageError,
)
from rainbow_agent.core.model import Credentials, Registration
from rainbow_agent.core.ports import Clock, Scheduler
from rainbow_agent.fleet import registration_messages as words
from rainbow_agent.fleet.ports import CredentialStore, GraphEvents, OwnershipEvents, Registrations
from rainbow_agent.fleet.session import Session, SessionError
from rainbow_agent.runtime.fault_injection import CrashPoint, reach, reach_if
from rainbow_agent.runtime.logs import counted
from rainbow_agent.runtime.setting_types import Secret

log = logging.getLogger(__name__)

#: How often a secret is denied, by a rainbow that has the cluster, before that is believed.
MAX_DENIALS = 3
#: Seconds for which it is denied without a word on whether rainbow has the cluster, likewise.
DENIED_FOR_S = 60.0
#: A note in the ledger while the answer to a registration is awaited, or was lost.
REGISTERING: Final = "registering"


class Registrar:
    """Owns the session. Used by the main loop only; others read `session`."""

    def __init__(
        self,
        *,
        cluster: str,
        host: str,
        secret: Secret,
        secret_source: str,
        scheduler: Scheduler,
        store: CredentialStore,
        ledger: Registrations,
        graph: Callable[[], str],
        registration_id: Callable[[str], str],
        clock: Clock,
        graph_events: GraphEvents | None = None,
        fresh_secret: Callable[[], Secret] | None = None,
        ownership: OwnershipEvents | None = None,
    ) -> None:
        self._ownership = ownership
        self._unsaved: Credentials | None = None
        self._cluster = cluster
        self._host = host
        self._fresh_secret = fresh_secret or (lambda: secret)
        self._secret_source = secret_source
        self._scheduler = scheduler
        self._store = store
        self._ledger = ledger
        self._graph = graph
        self._registration_id = registration_id
        self._clock = clock
        self._graph_events = graph_events
        self._denials = 0  # of our secret, one after the other
        self._denied_since: float | None = None  # by the monotonic clock
        self.session: Session | None = None

    @property
    def _secret(self) -> Secret:
        """The registration secret; the file that it came from may have changed."""
        return self._fresh_secret()

    def ensure(self) -> Session:
        """The session: the stored one, or a new registration.

        Raises:
            Fatal: only a human can help; the message says how.
            Transient: rainbow cannot be reached now.
        """
        if self.session is None:
            stored = self._store.load()
            self.session = self._find(stored) if stored else self._register()
        return self.session

    def resume(self) -> None:
        """Take up the stored session, if there is one, without asking rainbow.

        What cannot be read or written now is ensure()'s to say.
        """
        try:
            stored = None if self.session else self._store.load()
            if stored:
                self.session = self._find(stored)
        except (UsageError, LedgerBlocked):
            return

    def _find(self, stored: Secret) -> Session:
        """The session of credentials that are there at the start."""
        registration = self._registration_id(stored.reveal())
        known = registration in self._ledger.registrations()
        if self._ownership:
            self._ownership.found(registration, known=known)
        return self._adopt(stored)

    def recover(self, session_error: SessionError) -> None:
        """Put right what rainbow lost; nothing to do when it was meanwhile."""
        if session_error.session != self.session:
            return
        if isinstance(session_error.error, ClusterUnknown) and self._restore_graph():
            return
        if not (
            self._adopt_replaced(session_error.session)
            or self._takes(session_error.session)
            or self._adopt_copy(session_error.session)
        ):
            self._register_again(session_error.session)

    def _adopt_replaced(self, session: Session) -> bool:
        """Whether the store has another secret by now: somebody put it there, and it counts."""
        try:
            stored = self._store.load()
        except UsageError as exc:
            log.warning("The stored secret cannot be read: %s", exc)
            return False
        if stored is None or stored == session.secret:
            return False
        log.warning(
            "The secret in %s was replaced; the new one is used",
            self._store.describe(),
            extra={"action": "secret_replaced", "cluster": self._cluster},
        )
        self.session = self._adopt(stored)
        if self._ownership:
            self._ownership.replaced(self.session.registration)
        return True

    def _adopt_copy(self, session: Session) -> bool:
        """Whether the agent's own copy of the secret is another one, and rainbow accepts that."""
        kept = self._store.copy()
        if kept is None or kept == session.secret:
            return False
        try:
            self._scheduler.receive(session.cluster, kept.reveal(), 1)
        except RequestDenied:
            return False
        log.warning(
            "Rainbow denies the secret in %s and accepts the agent's own copy, which is used and"
            " put back there: another program overwrote it (upstream's register.py does that to a"
            " file that exists: give each cluster a file of its own)",
            self._store.describe(),
            extra={"action": "secret_put_back", "cluster": self._cluster},
        )
        try:
            self._store.put_back(kept)
        except UsageError as exc:
            log.warning("The secret is not put back: %s", exc)
        self._denials, self._denied_since = 0, None
        self.session = self._find(kept)
        return True

    def _takes(self, session: Session) -> bool:
        """Whether rainbow takes our secret after all. Asking for a job changes nothing there."""
        try:
            self._scheduler.receive(session.cluster, session.secret.reveal(), 1)
        except RequestDenied:
            return False
        self._denials, self._denied_since = 0, None
        log.warning(
            "Rainbow denied the cluster's secret and accepts it again",
            extra={"action": "denied_once", "cluster": self._cluster},
        )
        return True

    def may_renew(self) -> bool:
        """Whether no other agent waits for an answer under this registration."""
        return self._ownership is None or self._ownership.may_renew()

    def renew(self) -> bool:
        """Register the cluster again, with its graph as it is now; there is a new session then.

        A graph that the server has cannot be changed safely while others use the server
        (docs/decisions/0005). To be called only when no job of this registration waits to be
        accepted: under the new one it would come again as another job.

        Returns:
            False, and nothing has changed, when rainbow would not take us back.
        """
        session, graph = self.ensure(), self._graph()
        if not self._secret:
            return False
        self._store.check()
        try:
            given = self._scheduler.register(self._cluster, self._secret.reveal(), graph)
        except RequestDenied:
            return False
        except ClusterExists:  # as it should be: the name is ours, and the registration secret good
            self._scheduler.deregister(session.cluster, session.secret.reveal())
            reach(CrashPoint.DEREGISTERED)
            # Whatever stops us here, the next call to rainbow is denied, and recover() registers.
            self.session = self._register()
        else:  # rainbow had forgotten us, and this was a registration
            self.session = self._keep(given, graph)
        return True

    def _register_again(self, session: Session) -> None:
        """Rainbow answered `request denied` to our secret: register again, if it lets us.

        Raises:
            Unavailable: it has the cluster, and may yet take the secret.
            Fatal: it has the cluster, and denied the secret again and again.
        """
        log.warning(
            "Rainbow does not know our secret any more; registering again",
            extra={"action": "reregister", "cluster": self._cluster},
        )
        if not self._secret:
            self._denied_for_good()
        try:
            fresh = self._register(exists=ClusterExists)
        except ClusterExists as exc:
            self._denials += 1
            if self._denials >= MAX_DENIALS:
                raise Fatal(
                    words.denied(self._host, self._cluster, self._store.describe())
                ) from exc
            raise Unavailable(
                f"rainbow at {self._host} denies the secret of cluster {session.cluster} and has"
                f" the cluster; it is asked {counted(MAX_DENIALS - self._denials, 'more time')}"
            ) from exc
        self._denials = 0
        self.session = fresh

    def _denied_for_good(self) -> NoReturn:
        """There is no registration secret to ask with whether rainbow has the cluster.

        Raises:
            Unavailable: rainbow may not be able to read its database now.
            Fatal: it was denied for long enough.
        """
        now = self._clock.monotonic()
        self._denied_since = now if self._denied_since is None else self._denied_since
        denied = (
            f"rainbow at {self._host} denies the secret of cluster {self._cluster} that is in"
            f" {self._store.describe()}"
        )
        if now - self._denied_since < DENIED_FOR_S:
            raise Unavailable(f"{denied}; it is asked again for {DENIED_FOR_S:g} s")
        raise Fatal(
            f"{denied}, and without a registration secret there is no other: set RAINBOW_SECRET or"
            " RAINBOW_SECRET_FILE"
        )

    def _restore_graph(self) -> bool:
        """Rainbow kept our row and lost our graph: load it again.

        Returns:
            False, and rainbow has no graph of ours: it has lost the row as well since then. It
            would take the graph all the same, and then keep the secret of the next registration
            to itself (words.kept_back); so the row is looked for right before.
        """
        session, graph = self.ensure(), self._graph()
        try:
            with suppress(Rejected):  # a row that cannot be read: our secret was taken
                self._scheduler.receive(session.cluster, session.secret.reveal(), 1)
        except RequestDenied:
            return False
        log.warning(
            "Rainbow lost this cluster's graph (it was restarted); loading it again",
            extra={"action": "restore_graph", "cluster": self._cluster},
        )
        registration = session.registration
        if self._graph_events:
            self._graph_events.lost(registration)
        try:
            self._scheduler.restore_graph(self._cluster, graph)
        except GraphExists:  # somebody was quicker: as good
            if self._graph_events:
                self._graph_events.kept()
        else:
            if self._graph_events:
                self._graph_events.placed(registration, graph)
        return True

    def _register(self, exists: type[Exception] = Fatal) -> Session:
        """A new registration; `exists` is raised when the name is taken."""
        if not self._secret:
            raise Fatal(
                f"cluster {self._cluster} has no stored secret in {self._store.describe()} and"
                " no registration secret was given: set RAINBOW_SECRET or RAINBOW_SECRET_FILE"
            )
        if self._unsaved is not None:
            return self._keep(self._unsaved, self._graph())
        self._check_store()
        graph = self._graph()
        asked = self._ledger.note(REGISTERING)
        self._ledger.put_note(REGISTERING, {"host": self._host, "at": self._clock.now()})
        try:
            given = self._scheduler.register(self._cluster, self._secret.reveal(), graph)
        except ClusterExists as exc:
            self._ledger.put_note(REGISTERING, asked)
            said = words.exists(self._host, self._cluster, self._store.describe(), asked)
            raise exists(said) from exc
        except GraphExists as exc:
            # 075ee23 makes the row first, then finds the graph of the one before, and answers with
            # that error in the place of the secret.
            said = words.kept_back(self._host, self._cluster, self._store.describe())
            raise Fatal(said) from exc
        except RequestDenied as exc:
            self._ledger.put_note(REGISTERING, asked)
            raise Fatal(
                f"rainbow at {self._host} refuses the registration secret"
                f" ({self._secret_source}): use the one that its --secret was started with"
            ) from exc
        return self._keep(given, graph)

    def _keep(self, given: Credentials, graph: str) -> Session:
        """A session from what Register gave, once: first of all it is stored."""
        reach(CrashPoint.REGISTERED)
        try:
            self._store.save(given)
        except (UsageError, OSError) as exc:
            self._unsaved = given
            raise Unavailable(
                f"the secret that rainbow gave (once only) cannot be stored in"
                f" {self._store.describe()}: {exc}; it is kept in memory and tried again: do not"
                " stop the agent before"
            ) from exc
        self._unsaved = None
        self._ledger.put_note(REGISTERING, None)
        if self._ownership:
            self._ownership.registered(self._registration_id(given.secret))
        reach(CrashPoint.STORED)
        session = self._adopt(Secret(given.secret))
        log.info(
            "Registered cluster %s with rainbow at %s",
            self._cluster,
            self._host,
            extra={"action": "registered", "cluster": self._cluster},
        )
        if self._graph_events:
            self._graph_events.placed(session.registration, graph)
        return session

    def _adopt(self, secret: Secret) -> Session:
        registration, before = self._registration_id(secret.reveal()), self._ledger_knows()
        self._ledger.open_registration(
            Registration(registration, self._cluster, self._host, self._clock.now())
        )
        reach_if(CrashPoint.OPENED, lambda: before not in (None, registration))
        return Session(self._cluster, secret, registration)

    def _ledger_knows(self) -> str | None:
        known = self._ledger.current_registration()
        return known.id if known else None

    def _check_store(self) -> None:
        """Before a secret is given: see that it can be kept.

        Raises:
            UsageError: it cannot, at the start: a human can mend it.
            Unavailable: likewise, in an agent that has run for a while.
        """
        try:
            self._store.check()
        except UsageError as exc:
            if self.session is None:
                raise
            raise Unavailable(str(exc)) from exc
