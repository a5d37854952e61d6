"""Builds what takes jobs from the ledger to the workload manager and follows them to their end."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from rainbow_agent.core.model import JobChange
from rainbow_agent.core.ports import Clock, StopSignal, Workload
from rainbow_agent.core.site import Site
from rainbow_agent.jobs.dispatcher import Dispatcher
from rainbow_agent.jobs.jobs import Jobs
from rainbow_agent.jobs.journal import JournalFollower
from rainbow_agent.jobspec.fluxspec import Programs
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.runtime.environment import job_environment
from rainbow_agent.runtime.loops import Loop, Telemetry, moving
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import FINISH_SHARE
from rainbow_agent.storage.ledger import SqliteLedger


@dataclass(frozen=True, kw_only=True)
class JobsBuilder:
    """Builds the jobs of this agent.

    Attributes:
        settings: cluster, host, grace, on_lost, shared_fs, and the secrets that no job gets.
        ledger: the main loop's.
        open_ledger: opens another, for the journal's thread.
        open_workload: opens a connection; each thread has its own.
        site: the nodes that jobs are placed on; waits for them until the stop that it is given.
        on_change: is called with jobs whose state moved; from the main loop and the journal.
        telemetry: conditions, counters and loops.
        main: the main loop, which beats while many jobs are planned.
        journal_stop: ends the journal's thread.
        clock: for what is written.
    """

    settings: Settings
    ledger: SqliteLedger
    open_ledger: Callable[[], SqliteLedger]
    open_workload: Callable[[], Workload]
    site: Callable[[StopSignal], Site]
    on_change: Callable[[list[JobChange]], None]
    telemetry: Telemetry
    main: Loop
    journal_stop: StopSignal
    clock: Clock

    def build(self) -> Jobs:
        """The jobs; the workload manager is not asked for anything yet."""
        return Jobs(
            ledger=self.ledger,
            journal=self._journal(),
            open_dispatcher=self._dispatcher,
            on_change=self.on_change,
            clock=self.clock,
            conditions=self.telemetry.conditions,
        )

    def _dispatcher(self) -> Dispatcher:
        settings = self.settings
        programs = Programs(shared_fs=settings.shared_fs)
        return Dispatcher(
            ledger=self.ledger,
            workload=self.open_workload(),
            plan_text=moving(partial(plan_text, programs=programs), self.main.beat),
            site=partial(self.site, self.main),
            environment=job_environment(os.environ, settings.secret_values),
            clock=self.clock,
            grace=settings.grace * FINISH_SHARE,
            on_change=self.on_change,
            cluster=settings.cluster,
        )

    def _journal(self) -> JournalFollower:
        settings = self.settings
        return JournalFollower(
            open_workload=self.open_workload,
            open_ledger=self.open_ledger,
            clock=self.clock,
            stop=self.journal_stop,
            on_change=self.on_change,
            telemetry=self.telemetry,
            cluster=settings.cluster,
            host=settings.host,
            on_lost=settings.on_lost,
        )
