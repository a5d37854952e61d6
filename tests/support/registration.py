"""For tests: a registrar over fakes."""

from __future__ import annotations

from rainbow_agent.core.errors import (
    ClusterUnknown,
    RequestDenied,
)
from rainbow_agent.fleet.registration import Registrar
from rainbow_agent.fleet.session import SessionError
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import FakeClock, FakeCredentialStore
from support.scheduler import REGISTRATION_SECRET, FakeScheduler


class Harness:
    """A registrar, and all that it talks to."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger = ledger
        self.rainbow = FakeScheduler()
        self.store = FakeCredentialStore()
        self.clock = FakeClock()
        self.graphs = 0
        self.restart()

    def restart(self, secret: str = REGISTRATION_SECRET) -> None:
        """The agent starts (again); what is on disk is still there."""
        self.registrar = Registrar(
            cluster="blue",
            host="rainbow.example:50051",
            secret=Secret(secret),
            secret_source="environment RAINBOW_SECRET",
            scheduler=self.rainbow,
            store=self.store,
            ledger=self.ledger,
            graph=self.graph,
            registration_id="of {}".format,
            clock=self.clock,
        )

    def graph(self) -> str:
        """The cluster graph, and how often it was built."""
        self.graphs += 1
        return '{"graph": {}}'

    def works(self) -> bool:
        """Whether rainbow takes what the session says."""
        session = self.registrar.ensure()
        self.rainbow.update_state(session.cluster, session.secret.reveal(), {})
        return True

    def session_error(self, error: ClusterUnknown | RequestDenied) -> SessionError:
        """What another thread was answered with the session of now."""
        return SessionError(self.registrar.ensure(), error)
