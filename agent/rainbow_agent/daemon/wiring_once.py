"""What is done once, by hand, with the parts of the daemon: register, deregister."""

from __future__ import annotations

from contextlib import ExitStack, closing

from rainbow_agent.core.errors import UsageError
from rainbow_agent.daemon.wiring import lock
from rainbow_agent.fleet.build import build_ownership, build_registrar, credential_store
from rainbow_agent.fleet.credentials import registration_id
from rainbow_agent.fleet.grpc.connect import connect
from rainbow_agent.fleet.registration import Session
from rainbow_agent.fleet.retry import patiently
from rainbow_agent.inventory.build import build_watcher
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.conditions import Conditions
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage import state_dir
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.workload.choose import choose, opener


def register_once(settings: Settings) -> Session:
    """Register by hand; what is registered already keeps its secret.

    Raises:
        UsageError: there is no registration secret, or a daemon runs on this state folder.
    """
    choice = choose(settings)
    state_dir.prepare(settings.state_dir)
    with ExitStack() as stack:
        lock(settings, stack)
        ledger = stack.enter_context(closing(SqliteLedger.open(settings.ledger_path)))
        scheduler = stack.enter_context(closing(connect(settings)))
        watcher = build_watcher(settings, choice, opener(choice, settings), Stop())
        with watcher.once():
            ownership = build_ownership(settings, scheduler, Conditions(SystemClock()))
            registrar, graph_publisher = build_registrar(
                settings, ledger=ledger, scheduler=scheduler, watcher=watcher, holder=ownership
            )
            session = patiently(registrar.ensure)
            patiently(lambda: graph_publisher.sync(session))
            return registrar.ensure()


def deregister_once(settings: Settings) -> None:
    """Take the cluster out of rainbow and forget its secret.

    Raises:
        UsageError: it is not registered, or a daemon runs on this state folder.
    """
    store = credential_store(settings)
    secret = store.load()
    if secret is None:
        raise UsageError(
            f"cluster {settings.cluster} is not registered: {store.describe()} has no secret"
        )
    state_dir.prepare(settings.state_dir)
    with ExitStack() as stack:
        lock(settings, stack)
        scheduler = stack.enter_context(closing(connect(settings)))
        patiently(lambda: scheduler.deregister(settings.cluster, secret.reveal()))
        store.forget()
        ledger = stack.enter_context(closing(SqliteLedger.open(settings.ledger_path)))
        ledger.close_registration(registration_id(secret.reveal()), SystemClock().now())
