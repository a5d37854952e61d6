"""Builds one daemon: each folder builds itself, what it needs of others was built before."""

from __future__ import annotations

import logging
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rainbow_agent.core.errors import LedgerError
from rainbow_agent.core.model import JobChange
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.daemon import process
from rainbow_agent.daemon.circuit_breaker import CircuitBreaker
from rainbow_agent.daemon.daemon import Daemon
from rainbow_agent.daemon.drain_watch import DrainWatch
from rainbow_agent.daemon.members import Members, observe
from rainbow_agent.daemon.status_writer import StatusWriter
from rainbow_agent.daemon.systemd import Notifier
from rainbow_agent.fleet.build import FleetBuilder, credential_store
from rainbow_agent.fleet.fleet import Fleet
from rainbow_agent.fleet.renamed import say_renamed
from rainbow_agent.inventory.build import build_watcher
from rainbow_agent.inventory.watcher import NodeWatcher
from rainbow_agent.jobs.build import build_jobs
from rainbow_agent.monitoring.build import build_monitoring
from rainbow_agent.runtime.backoff import Backoff
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.logs import Redact
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage import state_dir
from rainbow_agent.storage.history_keeper import HistoryKeeper
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_history import Keep, LedgerHistory
from rainbow_agent.storage.ledger_rebuild import REBUILD
from rainbow_agent.storage.ledger_repair import open_or_replace, save_if_removed
from rainbow_agent.storage.ledger_watch import LedgerWatch
from rainbow_agent.workload.choose import Choice, opener

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobNews:
    """Passes on that jobs moved, to all who have to know; from any thread."""

    fleet: Fleet
    nodes: NodeWatcher
    breaker: CircuitBreaker

    def heard(self, changes: list[JobChange]) -> None:
        """Jobs moved."""
        self.fleet.changed()
        _log_changes(changes)
        self.breaker.heard(changes)
        if any(change.now in FINAL_JOB_STATES for change in changes):
            self.nodes.jobs_ended()


@dataclass(frozen=True)
class DaemonBuilder:
    """Builds a daemon, and another one when the ledger broke under the first (daemon/restart.py).

    Attributes:
        settings: of this run.
        choice: the workload manager.
        redact: hides secrets from the log.
        service: the service manager.
        status: writes runtime.json.
        telemetry: shared by all daemons of this process.
        until_idle: whether the daemon ends when nothing is left to do.
    """

    settings: Settings
    choice: Choice
    redact: Redact
    service: Notifier
    status: StatusWriter
    telemetry: Telemetry
    until_idle: bool

    def build(self, stop: Stop, broken: LedgerError | None) -> Daemon:
        """A daemon.

        Args:
            stop: ends it.
            broken: what was found to be wrong with the ledger; None at the first start.

        Raises:
            Fatal: it cannot begin.
        """
        with ExitStack() as resources:
            daemon = self._build(stop, broken, resources)
            daemon.resources = resources.pop_all()
        process.spare()
        return daemon

    def _build(self, stop: Stop, broken: LedgerError | None, resources: ExitStack) -> Daemon:
        settings, telemetry, clock = self.settings, self.telemetry, SystemClock()
        wake, main = stop.wake_event(), telemetry.loop("main", stop)
        # What a stop cancels is heard of by the journal's thread, which therefore ends later.
        journal_stop = Stop() if settings.on_stop == "cancel" else stop
        ledger = self._open_ledger(broken)
        resources.callback(save_if_removed, ledger, settings.ledger_path)
        open_ledger = partial(SqliteLedger.open, settings.ledger_path)
        open_workload = opener(self.choice, settings, stop)
        read_drain = partial(state_dir.read_drain, settings.state_dir)
        nodes = build_watcher(
            settings, self.choice, open_workload, stop, telemetry, on_description=wake.set
        )
        fleet = FleetBuilder(
            settings=settings,
            ledger=ledger,
            open_ledger=open_ledger,
            open_workload=open_workload,
            nodes=nodes,
            read_drain=read_drain,
            telemetry=telemetry,
            main=main,
            stop=stop,
            wake=wake,
            redact=self.redact,
            clock=clock,
        ).build()
        resources.callback(fleet.close)
        breaker = CircuitBreaker(
            conditions=telemetry.conditions, clock=clock, limit=settings.black_hole
        )
        jobs = build_jobs(
            settings,
            ledger=ledger,
            open_ledger=open_ledger,
            open_workload=open_workload,
            site=nodes.site,
            on_change=JobNews(fleet, nodes, breaker).heard,
            clock=clock,
            telemetry=telemetry,
            main=main,
            journal_stop=journal_stop,
        )
        ledger_watch = LedgerWatch(settings.ledger_path)
        monitoring = build_monitoring(
            settings,
            ledger_watch=ledger_watch,
            workload_kind=self.choice.kind,
            observe=partial(observe, fleet, jobs, stop),
            clock=clock,
            telemetry=telemetry,
            stop=stop,
        )
        return Daemon(
            Members(
                nodes=nodes,
                fleet=fleet,
                jobs=jobs,
                monitoring=monitoring,
                history=HistoryKeeper(
                    partial(LedgerHistory.open, settings.ledger_path),
                    keep=Keep(settings.keep_jobs, settings.keep_for),
                    clock=clock,
                    stop=stop,
                    on_shrink=ledger_watch.shrunk,
                ),
                breaker=breaker,
                drain=DrainWatch(read_drain),
                status=self.status,
                service=self.service,
            ),
            ledger=ledger,
            stop=stop,
            loop=main,
            wake=wake,
            backoff=Backoff(settings.poll_min, settings.poll_max),
            clock=clock,
            telemetry=telemetry,
            journal_stop=journal_stop,
            resources=resources,
            until_idle=self.until_idle,
            cancel_on_stop=settings.on_stop == "cancel",
        )

    def _open_ledger(self, broken: LedgerError | None) -> SqliteLedger:
        say_renamed(self.settings.config, self.settings.cluster, self.telemetry.conditions)
        registered = credential_store(self.settings, self.redact).load() is not None
        ledger = open_or_replace(
            self.settings.ledger_path,
            registered=registered,
            at=SystemClock().now(),
            broken=broken,
        )
        _say_rebuilt(ledger, self.telemetry.conditions)
        return ledger


def _log_changes(changes: list[JobChange]) -> None:
    """A line for each job that moved; what did not end well is worth one at the usual level."""
    for change in changes:
        bad = change.now in FINAL_JOB_STATES and change.now is not JobState.COMPLETED
        log.log(
            logging.INFO if bad else logging.DEBUG,
            "Job %d is %s%s",
            change.key.id,
            change.now.value,
            f": {change.reason}" if change.reason else "",
            extra={"action": "job", "job": str(change.key), "state": change.now.value},
        )


def _say_rebuilt(ledger: SqliteLedger, conditions: Conditions) -> None:
    """Say in `status` that the ledger is one that was rebuilt, until its damaged one is gone."""
    found = ledger.note(REBUILD)
    if found and found.get("aside") and Path(found["aside"]).exists():
        conditions.set(
            ConditionName.LEDGER_REBUILT,
            f"the ledger was damaged and rebuilt at {found['since']}; the damaged one is"
            f" {found['aside']}: remove it when you need it no more ({found['because']})",
        )
