"""Joins what makes the cluster a member of the fleet; a part of bootstrap."""

from __future__ import annotations

from rainbow_agent.core.ports import StopSignal
from rainbow_agent.fleet.credentials import ConfigFileStore, FreshSecret, registration_id
from rainbow_agent.fleet.graph_publisher import GraphPublisher
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.ownership import Ownership
from rainbow_agent.fleet.ownership_file import OwnershipFile, card
from rainbow_agent.fleet.registration import Holder, Registrar
from rainbow_agent.fleet.renewal import renew
from rainbow_agent.inventory.watcher import NodeWatcher
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.conditions import Conditions
from rainbow_agent.runtime.logs import Redact
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage.ledger import SqliteLedger


def credential_store(settings: Settings, redact: Redact | None = None) -> ConfigFileStore:
    """The cluster's credentials on disk."""
    return ConfigFileStore(
        path=settings.config,
        cluster=settings.cluster,
        host=settings.host,
        registration_secret=settings.secret,
        hide=redact.add if redact else lambda _: None,
    )


def build_registrar(
    settings: Settings,
    *,
    ledger: SqliteLedger,
    scheduler: RainbowScheduler,
    watcher: NodeWatcher,
    redact: Redact | None = None,
    stop: StopSignal | None = None,
    telemetry: Telemetry | None = None,
    holder: Holder | None = None,
) -> tuple[Registrar, GraphPublisher]:
    """A registrar over these settings, and what keeps rainbow's picture of the cluster true.

    With `stop`, its waits for the first survey end on that.
    """
    store, clock = credential_store(settings, redact), SystemClock()
    graph_publisher = GraphPublisher(
        scheduler=scheduler,
        ledger=ledger,
        clock=clock,
        description=lambda: watcher.description,
        renew=lambda: renew(registrar, ledger, store),
        conditions=telemetry.conditions if telemetry else None,
    )
    registrar = Registrar(
        cluster=settings.cluster,
        host=settings.host,
        secret=settings.secret,
        secret_source=settings.sources["secret"],
        fresh_secret=FreshSecret(settings, redact.add if redact else lambda _: None),
        scheduler=scheduler,
        store=store,
        ledger=ledger,
        graph=lambda: watcher.graph_text(stop),
        registration_id=registration_id,
        clock=clock,
        record=graph_publisher,
        holder=holder,
    )
    return registrar, graph_publisher


def build_ownership(
    settings: Settings,
    scheduler: RainbowScheduler,
    conditions: Conditions,
    redact: Redact | None = None,
) -> Ownership:
    """Whether this agent is the one that receives the cluster's jobs."""
    clock = SystemClock()
    return Ownership(
        scheduler=scheduler,
        store=OwnershipFile(settings.state_dir),
        token=credential_store(settings, redact).token,
        card=card(settings.state_dir, clock.now()),
        poll_max=settings.poll_max,
        clock=clock,
        conditions=conditions,
    )
