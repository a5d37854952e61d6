"""Builds what makes the cluster a member of the fleet."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from rainbow_agent.core.model import Drain
from rainbow_agent.core.ports import Clock, Workload
from rainbow_agent.fleet.contact import Contact
from rainbow_agent.fleet.credentials import ConfigFileStore, FreshSecret, registration_id
from rainbow_agent.fleet.fleet import Fleet, SessionErrors
from rainbow_agent.fleet.graph_publisher import GraphPublisher
from rainbow_agent.fleet.grpc.connect import connect
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.intake import Intake
from rainbow_agent.fleet.messages.answers import Answers
from rainbow_agent.fleet.messages.listener import Listener
from rainbow_agent.fleet.messages.messenger import Messenger
from rainbow_agent.fleet.messages.requests import Requests
from rainbow_agent.fleet.ownership import Ownership
from rainbow_agent.fleet.ownership_file import OwnershipFile, identify
from rainbow_agent.fleet.registration import Registrar
from rainbow_agent.fleet.reporter import Reporter
from rainbow_agent.fleet.secret_copy import SecretCopy
from rainbow_agent.inventory.watcher import NodeWatcher
from rainbow_agent.runtime.logs import Redact
from rainbow_agent.runtime.loops import Loop, Telemetry
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger


def credential_store(settings: Settings, redact: Redact | None = None) -> ConfigFileStore:
    """The cluster's credentials on disk.

    A registration secret that a file has (a mounted Secret, a systemd credential) is not written
    beside them: the agent reads that file again, and jobs can read what the agent writes.
    """
    from_file = "secret" in settings.secret_files
    return ConfigFileStore(
        path=settings.config,
        cluster=settings.cluster,
        host=settings.host,
        registration_secret=Secret("") if from_file else settings.secret,
        hide=redact.add if redact else lambda _: None,
        copy=SecretCopy(settings.state_dir, cluster=settings.cluster, host=settings.host),
    )


@dataclass(frozen=True, kw_only=True)
class FleetBuilder:
    """Builds the cluster's membership in the fleet that the settings name.

    Attributes:
        settings: host, cluster, secrets, TLS, poll and report times, state folder.
        ledger: the main loop's.
        open_ledger: opens another, for the reporter's thread.
        open_workload: likewise; it is asked for free resources.
        nodes: describe the cluster.
        read_drain: whether new jobs are taken.
        telemetry: conditions, counters and loops.
        main: the main loop, which waits for the first description of the nodes.
        stop: ends the reporter's thread and calls to rainbow.
        wake: ends the main loop's wait when something is to be repaired.
        redact: secrets that become known are hidden from the log.
        clock: the time.
    """

    settings: Settings
    ledger: SqliteLedger
    open_ledger: Callable[[], SqliteLedger]
    open_workload: Callable[[], Workload]
    nodes: NodeWatcher
    read_drain: Callable[[], Drain | None]
    telemetry: Telemetry
    main: Loop
    stop: Stop
    wake: threading.Event
    redact: Redact
    clock: Clock

    def build(self) -> Fleet:
        """The membership; nothing is asked of rainbow yet."""
        contact = Contact(self.clock, self.telemetry, self.main)
        scheduler = connect(self.settings, on_call=contact.called, stop=self.stop)
        store = credential_store(self.settings, self.redact)
        ownership = self._ownership(scheduler, store)
        publisher = GraphPublisher(
            scheduler=scheduler,
            ledger=self.ledger,
            clock=self.clock,
            description=lambda: self.nodes.description,
            conditions=self.telemetry.conditions,
            arriving=self.nodes.arriving,
        )
        registrar = self._registrar(scheduler, store, publisher, ownership)
        session_errors = SessionErrors(self.wake)
        messenger = self._messenger(registrar, ownership)
        requests = Requests(
            scheduler=scheduler, ledger=self.ledger, clock=self.clock, messenger=messenger
        )
        return Fleet(
            registrar=registrar,
            publisher=publisher,
            ownership=ownership,
            intake=self._intake(scheduler, ownership, requests),
            reporter=self._reporter(registrar, ownership, session_errors),
            messenger=messenger,
            listener=self._listener(registrar, ownership, messenger, requests),
            requests=requests,
            contact=contact,
            session_errors=session_errors,
            credentials=store,
            ledger=self.ledger,
            scheduler=scheduler,
        )

    def _ownership(self, scheduler: RainbowScheduler, store: ConfigFileStore) -> Ownership:
        return Ownership(
            scheduler=scheduler,
            store=OwnershipFile(self.settings.state_dir),
            token=store.token,
            identity=identify(self.settings.state_dir, self.clock.now()),
            poll_max=self.settings.poll_max,
            clock=self.clock,
            conditions=self.telemetry.conditions,
        )

    def _registrar(
        self,
        scheduler: RainbowScheduler,
        store: ConfigFileStore,
        publisher: GraphPublisher,
        ownership: Ownership,
    ) -> Registrar:
        settings = self.settings
        return Registrar(
            cluster=settings.cluster,
            host=settings.host,
            secret=settings.secret,
            secret_source=settings.sources["secret"],
            fresh_secret=FreshSecret(settings, self.redact.add),
            scheduler=scheduler,
            store=store,
            ledger=self.ledger,
            graph=lambda: self.nodes.graph_text(self.main),
            registration_id=registration_id,
            clock=self.clock,
            graph_events=publisher,
            ownership=ownership,
        )

    def _intake(
        self, scheduler: RainbowScheduler, ownership: Ownership, requests: Requests
    ) -> Intake:
        return Intake(
            scheduler=scheduler,
            ledger=self.ledger,
            clock=self.clock,
            max_jobs=self.settings.max_jobs,
            conditions=self.telemetry.conditions,
            counters=self.telemetry.counters,
            jobs_among=lambda session, offers: requests.jobs_among(
                session, ownership.answer_questions(session, offers)
            ),
            stored=requests.carry_out,
        )

    def _messenger(self, registrar: Registrar, ownership: Ownership) -> Messenger:
        settings, telemetry = self.settings, self.telemetry
        return Messenger(
            session=lambda: registrar.session if ownership.held else None,
            open_scheduler=lambda: connect(settings, stop=self.stop, on_call=telemetry.called),
            open_ledger=self.open_ledger,
            keep=settings.keep_news,
            answer=Answers(settings, self.open_ledger, self.clock).answer,
            clock=self.clock,
            stop=self.stop,
            telemetry=telemetry,
        )

    def _listener(
        self,
        registrar: Registrar,
        ownership: Ownership,
        messenger: Messenger,
        requests: Requests,
    ) -> Listener:
        def kept() -> None:
            requests.kept_more()
            self.wake.set()  # a cancellation is the main loop's to carry out

        return Listener(
            session=lambda: registrar.session if ownership.held else None,
            open_carrier=lambda: connect(self.settings, stop=self.stop),
            open_ledger=self.open_ledger,
            messenger=messenger,
            kept=kept,
            clock=self.clock,
            stop=self.stop,
        )

    def _reporter(
        self, registrar: Registrar, ownership: Ownership, session_errors: SessionErrors
    ) -> Reporter:
        settings, telemetry = self.settings, self.telemetry
        return Reporter(
            session=lambda: registrar.session if ownership.held else None,
            open_scheduler=lambda: connect(settings, stop=self.stop, on_call=telemetry.called),
            open_ledger=self.open_ledger,
            open_workload=self.open_workload,
            memory_per_node=self.nodes.memory_per_node,
            operator=settings.operator_state,
            every=settings.report_every,
            cluster=settings.cluster,
            clock=self.clock,
            stop=self.stop,
            session_error=session_errors.put,
            draining=lambda: self.read_drain() is not None,
            telemetry=telemetry,
        )
