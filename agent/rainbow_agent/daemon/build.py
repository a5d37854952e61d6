"""Builds one daemon: each folder builds itself, what it needs of others was built before."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rainbow_agent.core.errors import LedgerError
from rainbow_agent.daemon import process
from rainbow_agent.daemon.circuit_breaker import CircuitBreaker
from rainbow_agent.daemon.daemon import Daemon
from rainbow_agent.daemon.drain_watch import DrainWatch
from rainbow_agent.daemon.job_news import JobNews
from rainbow_agent.daemon.members import Members, observe
from rainbow_agent.daemon.status_writer import StatusWriter
from rainbow_agent.daemon.systemd import Notifier
from rainbow_agent.fleet.build import FleetBuilder, credential_store
from rainbow_agent.fleet.fleet import Fleet
from rainbow_agent.fleet.renamed import say_renamed
from rainbow_agent.inventory.build import build_watcher
from rainbow_agent.inventory.early_words import EarlyWords
from rainbow_agent.inventory.watcher import NodeWatcher
from rainbow_agent.jobs.build import JobsBuilder
from rainbow_agent.jobs.jobs import Jobs
from rainbow_agent.monitoring.build import Monitoring, build_monitoring
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.logs import Redact
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.memory import MemoryRelease
from rainbow_agent.runtime.pace import Pace
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage import drain_file
from rainbow_agent.storage.history_keeper import HistoryKeeper
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_history import Keep, LedgerHistory
from rainbow_agent.storage.ledger_rebuild import REBUILD
from rainbow_agent.storage.ledger_repair import open_or_replace, save_if_removed
from rainbow_agent.storage.ledger_watch import LedgerWatch
from rainbow_agent.workload.choose import Choice, opener


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
        early: what the nodes were asked before this was loaded.
        until_idle: whether the daemon ends when nothing is left to do.
    """

    settings: Settings
    choice: Choice
    redact: Redact
    service: Notifier
    status: StatusWriter
    telemetry: Telemetry
    early: EarlyWords
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
            ledger = self._open_ledger(broken)
            resources.callback(save_if_removed, ledger, self.settings.ledger_path)
            daemon = _Assembly(self, stop, ledger).daemon(resources)
            daemon.resources = resources.pop_all()
        process.spare()
        return daemon

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


class _Assembly:
    """One daemon: what its packages share, and a method for each that builds it from that."""

    def __init__(self, builder: DaemonBuilder, stop: Stop, ledger: SqliteLedger) -> None:
        settings = builder.settings
        self._builder, self._settings, self._telemetry = builder, settings, builder.telemetry
        self._ledger, self._stop, self._clock = ledger, stop, SystemClock()
        self._wake, self._main = stop.wake_event(), builder.telemetry.loop("main", stop)
        # The end of what a stop cancels comes to the journal's thread, which therefore ends later.
        self._journal_stop = Stop() if settings.on_stop == "cancel" else stop
        self._open_ledger = partial(SqliteLedger.open, settings.ledger_path)
        self._open_workload = opener(builder.choice, settings, stop)
        self._read_drain = partial(drain_file.read_drain, settings.state_dir)

    def daemon(self, resources: ExitStack) -> Daemon:
        """The whole; what it opened is closed by `resources`."""
        settings = self._settings
        nodes = self._nodes()
        fleet = self._fleet(nodes)
        resources.callback(fleet.close)
        breaker = CircuitBreaker(
            conditions=self._telemetry.conditions, clock=self._clock, limit=settings.black_hole
        )
        memory = MemoryRelease(self._clock.monotonic)
        jobs = self._jobs(nodes, JobNews(fleet, nodes, breaker, memory))
        ledger_watch = LedgerWatch(settings.ledger_path)
        return Daemon(
            Members(
                nodes=nodes,
                fleet=fleet,
                jobs=jobs,
                monitoring=self._monitoring(fleet, jobs, ledger_watch),
                history=self._history(ledger_watch, memory),
                breaker=breaker,
                drain=DrainWatch(self._read_drain),
                status=self._builder.status,
                service=self._builder.service,
                memory=memory,
            ),
            ledger=self._ledger,
            stop=self._stop,
            loop=self._main,
            wake=self._wake,
            pace=Pace(
                settings.poll_min, settings.poll_max, settings.cluster, now=self._clock.monotonic()
            ),
            clock=self._clock,
            telemetry=self._telemetry,
            journal_stop=self._journal_stop,
            resources=resources,
            until_idle=self._builder.until_idle,
            cancel_on_stop=settings.on_stop == "cancel",
        )

    def _nodes(self) -> NodeWatcher:
        return build_watcher(
            self._settings,
            self._builder.choice,
            self._open_workload,
            self._stop,
            self._telemetry,
            early=self._builder.early,
            on_description=self._wake.set,
        )

    def _fleet(self, nodes: NodeWatcher) -> Fleet:
        return FleetBuilder(
            settings=self._settings,
            ledger=self._ledger,
            open_ledger=self._open_ledger,
            open_workload=self._open_workload,
            nodes=nodes,
            read_drain=self._read_drain,
            telemetry=self._telemetry,
            main=self._main,
            stop=self._stop,
            wake=self._wake,
            redact=self._builder.redact,
            clock=self._clock,
        ).build()

    def _jobs(self, nodes: NodeWatcher, news: JobNews) -> Jobs:
        return JobsBuilder(
            settings=self._settings,
            ledger=self._ledger,
            open_ledger=self._open_ledger,
            open_workload=self._open_workload,
            site=nodes.site,
            on_change=news.heard,
            telemetry=self._telemetry,
            main=self._main,
            journal_stop=self._journal_stop,
            clock=self._clock,
        ).build()

    def _monitoring(self, fleet: Fleet, jobs: Jobs, ledger_watch: LedgerWatch) -> Monitoring:
        return build_monitoring(
            self._settings,
            ledger_watch=ledger_watch,
            choice=self._builder.choice,
            observe=partial(observe, fleet, jobs, self._stop),
            clock=self._clock,
            telemetry=self._telemetry,
            stop=self._stop,
        )

    def _history(self, ledger_watch: LedgerWatch, memory: MemoryRelease) -> HistoryKeeper:
        return HistoryKeeper(
            partial(LedgerHistory.open, self._settings.ledger_path),
            keep=Keep(self._settings.keep_jobs, self._settings.keep_for),
            clock=self._clock,
            stop=self._stop,
            on_shrink=ledger_watch.shrunk,
            on_removed=memory.worked,
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
