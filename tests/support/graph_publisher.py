"""For tests: a publication and a registrar, joined as bootstrap does it, and their rainbow."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from rainbow_agent.core.model import Credentials
from rainbow_agent.core.node_resources import NodeView
from rainbow_agent.fleet.graph_publisher import GraphPublisher
from rainbow_agent.fleet.registration import Registrar
from rainbow_agent.fleet.renewal import Renewal, renew
from rainbow_agent.fleet.session import Session
from rainbow_agent.inventory.description import ClusterDescription, describe_cluster
from rainbow_agent.runtime.conditions import Conditions
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import FakeClock
from support.nodes import FakeExtractor, survey_of, views
from support.scheduler import REGISTRATION_SECRET, GraphScheduler

#: What `--global-token` gives every cluster, and what a server without it gives one of them.
SHARED_TOKEN = "rainbow"
OWN_TOKEN = "0d0f4d0e-5c62-4bd2-8d06-8ff0d1fb8a5c"


class Store:
    """Credentials in memory; the token is what a test says."""

    def __init__(self) -> None:
        self.secret = ""
        self.says = SHARED_TOKEN

    def load(self) -> Secret | None:
        """The stored secret."""
        return Secret(self.secret) if self.secret else None

    def check(self) -> None:
        """It can always be written."""

    def save(self, credentials: Credentials) -> None:
        """Store what Register gave."""
        self.secret = credentials.secret

    def copy(self) -> Secret | None:
        """There is none."""
        return None

    def put_back(self, secret: Secret) -> None:
        """It is never asked for."""

    def token(self) -> str:
        """The token."""
        return self.says

    def describe(self) -> str:
        """Where that is."""
        return "memory"


class Harness:
    """A publication and a registrar, joined as bootstrap does it."""

    def __init__(self, ledger: SqliteLedger) -> None:
        self.ledger, self.clock = ledger, FakeClock()
        self.rainbow, self.store = GraphScheduler(), Store()
        self.description: ClusterDescription | None = None
        self.arriving = False
        self.restart()
        self.is_now(views(2))

    def restart(self, secret: str = REGISTRATION_SECRET) -> None:
        """The agent starts (again); what is on disk is still there."""
        self.conditions = Conditions(self.clock)
        self.graph_publisher = GraphPublisher(
            scheduler=self.rainbow,
            ledger=self.ledger,
            clock=self.clock,
            description=lambda: self.description,
            conditions=self.conditions,
            arriving=lambda: self.arriving,
        )
        self.registrar = Registrar(
            cluster="blue",
            host="rainbow.example:50051",
            secret=Secret(secret),
            secret_source="the test",
            scheduler=self.rainbow,
            store=self.store,
            ledger=self.ledger,
            graph=lambda: self.description.graph.text if self.description else "",
            registration_id="of {}".format,
            clock=self.clock,
            graph_events=self.graph_publisher,
        )

    def renew(self) -> Renewal:
        """As bootstrap does it."""
        return renew(self.registrar, self.ledger, self.store)

    def is_now(
        self,
        nodes: Sequence[NodeView],
        packages: Sequence[str] = (),
        ranks: FakeExtractor | None = None,
    ) -> None:
        """The cluster becomes another."""
        self.description = describe_cluster(
            "blue", survey_of(nodes, packages=packages, extractor=ranks)
        )

    def sync(self) -> Session:
        """As a round of the daemon does."""
        session = self.registrar.ensure()
        self.graph_publisher.sync(session, self.renew)
        if self.registrar.session is not session:
            self.graph_publisher.sync(self.registrar.ensure(), self.renew)
        return self.registrar.ensure()

    def sent(self) -> dict[str, int]:
        """What was called since the last question."""
        calls = {
            name: count
            for name, count in self.rainbow.calls.items()
            if name in ("register", "deregister", "register_subsystem", "delete_subsystem")
        }
        self.rainbow.calls.clear()
        return calls

    def is_true(self) -> bool:
        """Whether rainbow has the cluster as it is."""
        if self.description is None:
            raise AssertionError("there is no portrait to compare with")
        wanted: dict[tuple[str, str], list[Any]] = {}
        for part in self.description.subsystems:
            graph = json.loads(part.text)["graph"]
            for edge in graph["edges"]:
                metadata = graph["nodes"][edge["target"]]["metadata"]
                wanted[edge["source"], part.name] = [metadata]
        return self.rainbow.graph == self.description.graph.text and self.rainbow.offers() == wanted
