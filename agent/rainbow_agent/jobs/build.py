"""Builds what takes jobs from the ledger to the workload manager and follows them to their end."""

from __future__ import annotations

import os
from collections.abc import Callable
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


def build_jobs(
    settings: Settings,
    *,
    ledger: SqliteLedger,
    open_ledger: Callable[[], SqliteLedger],
    open_workload: Callable[[], Workload],
    site: Callable[[StopSignal], Site],
    on_change: Callable[[list[JobChange]], None],
    clock: Clock,
    telemetry: Telemetry,
    main: Loop,
    journal_stop: StopSignal,
) -> Jobs:
    """The jobs of this agent.

    Args:
        settings: cluster, host, grace, on_lost, shared_fs, and the secrets that no job gets.
        ledger: the main loop's.
        open_ledger: opens another, for the journal's thread.
        open_workload: opens a connection; each thread has its own.
        site: the nodes that jobs are placed on; waits for them until the stop that it is given.
        on_change: is called with jobs whose state moved; from the main loop and the journal.
        clock: for what is written.
        telemetry: conditions, counters and loops.
        main: the main loop, which beats while many jobs are planned.
        journal_stop: ends the journal's thread.
    """
    programs = Programs(shared_fs=settings.shared_fs)
    environment = job_environment(os.environ, settings.secret_values)

    def open_dispatcher() -> Dispatcher:
        return Dispatcher(
            ledger=ledger,
            workload=open_workload(),
            plan_text=moving(partial(plan_text, programs=programs), main.beat),
            site=partial(site, main),
            environment=environment,
            clock=clock,
            grace=settings.grace * FINISH_SHARE,
            on_change=on_change,
            cluster=settings.cluster,
        )

    journal = JournalFollower(
        open_workload=open_workload,
        open_ledger=open_ledger,
        clock=clock,
        stop=journal_stop,
        on_change=on_change,
        telemetry=telemetry,
        cluster=settings.cluster,
        host=settings.host,
        on_lost=settings.on_lost,
    )
    return Jobs(
        ledger=ledger,
        journal=journal,
        open_dispatcher=open_dispatcher,
        on_change=on_change,
        clock=clock,
        conditions=telemetry.conditions,
    )
