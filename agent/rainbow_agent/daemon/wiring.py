"""The one place that joins adapters to rooms."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from rainbow_agent import __version__
from rainbow_agent.core.errors import LedgerDamaged
from rainbow_agent.core.model import Drain, JobChange
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.daemon import process, systemd
from rainbow_agent.daemon.circuit_breaker import CircuitBreaker
from rainbow_agent.daemon.parts import Contact, Parts
from rainbow_agent.daemon.process import keep_private
from rainbow_agent.daemon.restart import RestartLoop
from rainbow_agent.daemon.systemd import Watchdog
from rainbow_agent.daemon.wiring_http import assemble_web
from rainbow_agent.fleet.build import build_ownership, build_registrar, credential_store
from rainbow_agent.fleet.grpc.connect import check_tls, connect
from rainbow_agent.fleet.inbox import Inbox
from rainbow_agent.fleet.registration import Session, SessionError
from rainbow_agent.fleet.renewal import rotate_secret
from rainbow_agent.fleet.reporter import Reporter
from rainbow_agent.inventory.build import build_watcher
from rainbow_agent.jobs.dispatcher import Dispatcher
from rainbow_agent.jobs.journal import JournalFollower
from rainbow_agent.jobspec.fluxspec import Programs
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.monitoring.status import status_line
from rainbow_agent.runtime.backoff import Backoff
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.runtime.environment import job_environment
from rainbow_agent.runtime.logs import Redact, set_level, set_up
from rainbow_agent.runtime.loops import LIMIT, Telemetry, moving
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import FINISH, Stop, stop_on_signals
from rainbow_agent.storage import log_level, state_dir
from rainbow_agent.storage.disk import DiskWatch
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_rebuild import REBUILD
from rainbow_agent.storage.ledger_repair import open_or_replace, save_if_removed
from rainbow_agent.storage.ledger_watch import LedgerWatch
from rainbow_agent.workload.choose import Choice, choose, opener

log = logging.getLogger(__name__)


def run_daemon(settings: Settings, *, until_idle: bool) -> int:
    """Run the daemon in this process; its exit code."""
    redact = set_up(settings.log_level, settings.log_format)
    redact.add(settings.secret_values)
    choice = choose(settings)
    check_tls(settings)
    state_dir.prepare(settings.state_dir)
    state_dir.close_file(settings.config)
    keep_private(os.environ, ("RAINBOW_SECRET", "RAINBOW_TOKEN"))
    notifier = systemd.take_from(os.environ)
    telemetry = Telemetry(SystemClock(), _loop_limits(settings))
    with ExitStack() as stack:
        since = lock(settings, stack)
        log_level.clear(settings.state_dir)
        stop = stack.enter_context(stop_on_signals(settings.grace, lambda: _relevel(settings)))
        if notifier.watchdog_seconds is not None:
            watchdog = Watchdog(
                telemetry.loop_health, notifier.alive, notifier.watchdog_seconds / 2
            )
            stack.enter_context(watchdog.watching())
        log.info(
            "Starting rainbow-agent %s for cluster %s",
            __version__,
            settings.cluster,
            extra={
                "action": "starting",
                "rainbow": settings.host,
                "workload": choice.kind,
                "because": choice.why,
                "state_dir": str(settings.state_dir),
            },
        )
        return RestartLoop(
            lambda run, broken: _assemble(
                settings,
                choice,
                run,
                redact=redact,
                notifier=notifier,
                telemetry=telemetry,
                since=since,
                until_idle=until_idle,
                broken=broken,
            ),
            stop=stop,
            telemetry=telemetry,
            clock=SystemClock(),
            tell=_teller(settings, choice, notifier, since),
        ).run()


def _relevel(settings: Settings) -> None:
    """SIGHUP: log at the level that is wished for; said on the more talkative side."""
    level, root = log_level.read(settings.state_dir) or settings.log_level, logging.getLogger()
    quieter = logging.getLevelName(level.upper()) > root.level
    if not quieter:
        set_level(level)
    log.info("The log is at level %s from now on", level, extra={"action": "log_level"})
    set_level(level)


def _assemble(
    settings: Settings,
    choice: Choice,
    stop: Stop,
    *,
    redact: Redact,
    notifier: systemd.Notifier,
    telemetry: Telemetry,
    since: float,
    until_idle: bool,
    broken: LedgerDamaged | None,
) -> Parts:
    clock, contact = SystemClock(), Contact()
    main = telemetry.loop("main", stop)
    registered = credential_store(settings, redact).load() is not None
    ledger = open_or_replace(
        settings.ledger_path,
        registered=registered,
        at=clock.now(),
        broken=broken,
    )
    tell_rebuilt(ledger, telemetry.conditions)
    breaker = CircuitBreaker(
        conditions=telemetry.conditions, clock=clock, limit=settings.black_hole
    )

    def called(method: str, seconds: float, error: Exception | None) -> None:
        main.beat()
        telemetry.called(method, seconds, error)
        if error is None:
            contact.good(clock.now(), clock.monotonic())
            telemetry.conditions.clear(ConditionName.RAINBOW_UNREACHABLE)

    scheduler = connect(settings, on_call=called, stop=stop)
    open_workload = opener(choice, settings, stop)
    # The journal's thread hears the end of what a stop cancels: it ends later.
    listening = Stop() if settings.on_stop == "cancel" else stop
    watcher = build_watcher(settings, choice, open_workload, stop, telemetry)
    ownership = build_ownership(settings, scheduler, telemetry.conditions, redact)
    registrar, graph_publisher = build_registrar(
        settings,
        ledger=ledger,
        scheduler=scheduler,
        watcher=watcher,
        redact=redact,
        stop=main,
        telemetry=telemetry,
        holder=ownership,
    )
    bell = stop.bell()
    watcher.on_description = bell.set
    programs = Programs(shared_fs=settings.shared_fs)
    parts: Parts

    def changed(changes: list[JobChange]) -> None:
        parts.reporter.changed()
        _log_changes(changes)
        breaker.heard(changes)
        if any(change.now in FINAL_JOB_STATES for change in changes):
            watcher.jobs_ended()

    def session_error(found: SessionError) -> None:
        parts.session_error(found)

    def publish(session: Session) -> None:
        graph_publisher.sync(session)
        if registrar.session is not session:  # it was renewed: rainbow knows nothing of us yet
            parts.reporter.changed()
            graph_publisher.sync(registrar.ensure())

    def draining() -> Drain | None:
        return state_dir.read_drain(settings.state_dir)

    def close() -> None:
        scheduler.close()
        save_if_removed(ledger, settings.ledger_path)

    parts = Parts(
        registrar=registrar,
        inbox=Inbox(
            scheduler=scheduler,
            ledger=ledger,
            clock=clock,
            max_jobs=settings.max_jobs,
            conditions=telemetry.conditions,
            hear=ownership.hear,
        ),
        ledger=ledger,
        journal=JournalFollower(
            open_workload=open_workload,
            open_ledger=lambda: SqliteLedger.open(settings.ledger_path),
            clock=clock,
            stop=listening,
            on_change=changed,
            telemetry=telemetry,
            cluster=settings.cluster,
            host=settings.host,
            on_lost=settings.on_lost,
        ),
        reporter=Reporter(
            session=lambda: registrar.session if ownership.held else None,
            open_scheduler=lambda: connect(settings, stop=stop, on_call=telemetry.called),
            open_ledger=lambda: SqliteLedger.open(settings.ledger_path),
            open_workload=open_workload,
            memory_per_node=watcher.memory_per_node,
            operator=settings.operator_state,
            every=settings.report_every,
            clock=clock,
            stop=stop,
            session_error=session_error,
            draining=lambda: draining() is not None,
            telemetry=telemetry,
        ),
        clock=clock,
        stop=stop,
        backoff=Backoff(settings.poll_min, settings.poll_max),
        open_dispatcher=lambda: Dispatcher(
            ledger=ledger,
            workload=open_workload(),
            plan_text=moving(partial(plan_text, programs=programs), main.beat),
            site=lambda: watcher.site(main),
            environment=job_environment(os.environ, settings.secret_values),
            clock=clock,
            grace=settings.grace * FINISH,
            on_change=changed,
            cluster=settings.cluster,
        ),
        tell=_teller(settings, choice, notifier, since),
        draining=draining,
        ready=notifier.ready,
        stopping=_stopping(stop, notifier),
        cancel_on_stop=settings.on_stop == "cancel",
        listening=listening,
        close=close,
        bell=bell,
        telemetry=telemetry,
        rainbow=contact,
        check=_checks(settings, telemetry),
        until_idle=until_idle,
        threads={"lookout": watcher.run},
        publish=publish,
        more=lambda: {"nodes": watcher.facts(), "graph": graph_publisher.facts()},
        settle=ownership.settle,
        holds=lambda: ownership.held,
        listen=ownership.listen,
        rotate_secret=lambda: rotate_secret(
            ownership, registrar, ledger, credential_store(settings, redact)
        ),
        may_take=breaker.may_take,
        took=breaker.took,
    )
    whole = _with_web(settings, parts, choice.kind)
    process.spare()
    return whole


def _checks(settings: Settings, telemetry: Telemetry) -> Callable[[], None]:
    """Looks at what no loop meets by itself."""
    disk = DiskWatch(settings.state_dir, telemetry.conditions)
    ledger = LedgerWatch(settings.ledger_path)

    def look() -> None:
        disk.look()
        ledger.look()

    return look


def _stopping(stop: Stop, notifier: systemd.Notifier) -> Callable[[], None]:
    """Tells the service manager of the end, but not of one after which it begins anew."""

    def tell() -> None:
        if not isinstance(stop.cause, LedgerDamaged):
            notifier.stopping()

    return tell


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


def _with_web(settings: Settings, parts: Parts, kind: str) -> Parts:
    """The parts and, where it is wanted, one more that tells of them over HTTP."""
    more = parts.more
    if settings.http is None:
        parts.more = lambda: {**more(), "http": None}
        return parts
    room = assemble_web(settings, settings.http, parts, kind)
    parts.threads = {**parts.threads, "http": room.run}
    parts.more = lambda: {**more(), "http": room.facts()}
    return parts


def tell_rebuilt(ledger: SqliteLedger, conditions: Conditions) -> None:
    """Say in `status` that the ledger is one that was rebuilt, until its damaged one is gone."""
    found = ledger.note(REBUILD)
    if found and found.get("aside") and Path(found["aside"]).exists():
        conditions.set(
            ConditionName.LEDGER_REBUILT,
            f"the ledger was damaged and rebuilt at {found['since']}; the damaged one is"
            f" {found['aside']}: remove it when you need it no more ({found['because']})",
        )


def _loop_limits(settings: Settings) -> dict[str, float]:
    """Seconds that one turn may take, of loops whose slowest answer a setting allows."""
    rest = LIMIT / 3  # beside the one answer
    return {
        "main": max(LIMIT, settings.timeout + rest),
        "reporter": max(LIMIT, settings.timeout + rest),
        "lookout": max(LIMIT, settings.extract_timeout + rest),
    }


def _teller(
    settings: Settings, choice: Choice, notifier: systemd.Notifier, since: float
) -> Callable[[dict[str, Any]], None]:
    folder = settings.state_dir

    def tell(facts: dict[str, Any]) -> None:
        notifier.status(status_line(settings.cluster, facts))
        facts["workload"] = {"kind": choice.kind, "uri": choice.uri, **facts["workload"]}
        facts |= {"run": since, "beat": state_dir.beat()}
        try:
            state_dir.write_runtime(folder, facts)
        except OSError as exc:  # status shows an old heartbeat then, which is the truth
            log.warning("Cannot write %s/runtime.json: %s", folder, exc)

    return tell


def lock(settings: Settings, stack: ExitStack) -> float:
    """Hold the state folder's lock until the stack ends.

    Returns:
        Since when, epoch seconds; what tells this run from others.

    Raises:
        Fatal: another agent holds it.
    """
    holder = state_dir.Holder(os.getpid(), SystemClock().now())
    stack.callback(state_dir.Lock.take(settings.state_dir, holder).release)
    return holder.since
