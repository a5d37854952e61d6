"""What is done once, by hand, with the daemon's own objects: register, deregister."""

from __future__ import annotations

from contextlib import ExitStack, closing
from functools import partial

from rainbow_agent.daemon.lock import lock_for_verb
from rainbow_agent.fleet.build import FleetBuilder, credential_store
from rainbow_agent.fleet.credentials import registration_id
from rainbow_agent.fleet.grpc.connect import connect
from rainbow_agent.fleet.retry import patiently
from rainbow_agent.fleet.secret_copy import expect_config
from rainbow_agent.fleet.session import Session
from rainbow_agent.inventory.build import build_watcher
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.logs import Redact
from rainbow_agent.runtime.loops import Telemetry
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
    expect_config(settings)
    state_dir.prepare(settings.state_dir)
    stop, telemetry = Stop(), Telemetry(SystemClock())
    open_ledger = partial(SqliteLedger.open, settings.ledger_path)
    open_workload = opener(choice, settings)
    with ExitStack() as stack:
        lock_for_verb(settings, stack, "register")
        ledger = stack.enter_context(closing(open_ledger()))
        nodes = build_watcher(settings, choice, open_workload, stop, telemetry)
        fleet = FleetBuilder(
            settings=settings,
            ledger=ledger,
            open_ledger=open_ledger,
            open_workload=open_workload,
            nodes=nodes,
            read_drain=lambda: None,
            telemetry=telemetry,
            main=telemetry.loop("main", stop),
            stop=stop,
            wake=stop.wake_event(),
            redact=Redact(),
            clock=SystemClock(),
        ).build()
        stack.callback(fleet.close)
        with nodes.once():
            session = patiently(fleet.register)
            return patiently(lambda: fleet.publish(session))


def deregister_once(settings: Settings) -> str:
    """Take the cluster out of rainbow and forget its secret.

    Returns:
        Why there is nothing to do; "" when it is done.

    Raises:
        Fatal: a daemon runs on this state folder.
    """
    expect_config(settings)
    store = credential_store(settings)
    state_dir.prepare(settings.state_dir)
    with ExitStack() as stack:
        lock_for_verb(settings, stack, "deregister")
        secret = store.load()
        if secret is None:
            return f"{store.describe()} has no secret of it"
        scheduler = stack.enter_context(closing(connect(settings)))
        patiently(lambda: scheduler.deregister(settings.cluster, secret.reveal()))
        store.forget()
        ledger = stack.enter_context(closing(SqliteLedger.open(settings.ledger_path)))
        ledger.close_registration(registration_id(secret.reveal()), SystemClock().now())
    return ""
