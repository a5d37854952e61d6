"""Builds what shows how the agent does: the answers over HTTP, and looks at disk and ledger."""

from __future__ import annotations

import errno
import ipaddress
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from rainbow_agent.core.node_resources import PoolView
from rainbow_agent.core.ports import Clock
from rainbow_agent.monitoring.health import CONTACT_SLACK_S, Health, ReadinessFacts, live, ready
from rainbow_agent.monitoring.http.app import App, is_local
from rainbow_agent.monitoring.http.document import document
from rainbow_agent.monitoring.http.routes import Live, Routes
from rainbow_agent.monitoring.http.thread import HttpListener, HttpThread
from rainbow_agent.monitoring.metrics import Measured, Now
from rainbow_agent.monitoring.ports import LedgerFigures
from rainbow_agent.monitoring.status_sources import look
from rainbow_agent.runtime.addresses import Address
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.loops import MAX_TURN_S, Telemetry
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage import disk, drain_file
from rainbow_agent.storage.disk import DiskWatch
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_metrics import LedgerMetrics
from rainbow_agent.storage.ledger_paging import LedgerPages
from rainbow_agent.storage.ledger_watch import LedgerWatch
from rainbow_agent.workload.choose import Choice, open_records

#: Conditions under which a job cannot be taken or does not start, the worst first.
_OBSTACLES = (
    ConditionName.WORKLOAD_TAKES_NO_JOBS,
    ConditionName.QUEUE_DISABLED,
    ConditionName.NO_SCHEDULER,
    ConditionName.QUEUE_STOPPED,
)


@dataclass(frozen=True)
class Observation:
    """What the daemon knows of itself at one moment. Times by the monotonic clock; None: never."""

    registered: bool
    #: When rainbow answered the main loop last.
    rainbow_answered: float | None
    #: When it took a report; None while it gives no jobs: then that does not count as an answer.
    report_delivered: float | None
    rainbow_problem: str
    #: Epoch seconds.
    rainbow_last_contact: float | None
    workload_followed: bool
    workload_problem: str
    #: When its journal was read last, and when it said what is free.
    workload_journal_read: float | None
    workload_answered: float | None
    pool: PoolView | None
    stopping: bool


class Watch(Protocol):
    """Looks at something that no loop meets by itself."""

    def look(self) -> None:
        """Look once; takes microseconds."""


class Monitoring:
    """What looks at the agent beside its loops.

    Args:
        http: the thread that answers; None where RAINBOW_HTTP is off.
        watches: what is looked at each time that the status is written.
    """

    def __init__(self, http: HttpThread | None, watches: Sequence[Watch] = ()) -> None:
        self._watches = watches
        self.http = http

    def check(self) -> None:
        """Look at what no loop meets by itself; takes microseconds.

        Raises:
            LedgerError: the ledger's file was removed, replaced or cut off.
        """
        for watch in self._watches:
            watch.look()

    def facts(self) -> dict[str, Any]:
        """The key `http` of runtime.json."""
        return {"http": self.http.facts() if self.http else None}


def build_monitoring(
    settings: Settings,
    *,
    choice: Choice,
    observe: Callable[[], Observation],
    clock: Clock,
    telemetry: Telemetry,
    stop: Stop,
    ledger_watch: LedgerWatch,
) -> Monitoring:
    """What shows how this agent does.

    Args:
        settings: http, cluster, state folder, and the times that limits are made of.
        choice: the workload manager.
        observe: how the daemon is now; called from any thread.
        clock: for ages.
        telemetry: conditions, counters and loops.
        stop: ends the thread.
        ledger_watch: looks at the ledger's file.
    """
    seen = _HttpContent(settings, choice, observe, clock, telemetry)
    return Monitoring(
        _http_thread(settings.http, seen, stop) if settings.http else None,
        (
            DiskWatch(settings.state_dir, telemetry.conditions),
            ledger_watch,
        ),
    )


def _http_thread(address: Address, seen: _HttpContent, stop: Stop) -> HttpThread:
    def open_server(where: Address) -> HttpListener:
        from rainbow_agent.monitoring.http.server import HttpServer  # noqa: PLC0415 - not for off

        places = Routes(seen.live())
        counts = seen.telemetry.counters.requests
        app = App(places.routes(), local=_is_loopback(where.host), counts=counts)
        try:
            return HttpServer(where.host, where.port, app)
        except RuntimeError as exc:  # a thread cannot be started
            raise OSError(errno.EAGAIN, str(exc)) from exc

    return HttpThread(address=address, open_server=open_server, telemetry=seen.telemetry, stop=stop)


class _HttpContent:
    """What the answers over HTTP are made of; from any thread."""

    def __init__(
        self,
        settings: Settings,
        choice: Choice,
        observe: Callable[[], Observation],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._choice = choice
        self._observe = observe
        self._clock = clock
        self.telemetry = telemetry

    def live(self) -> Live:
        """Everything that the routes need."""
        path = self._settings.ledger_path
        return Live(
            clock=self._clock,
            telemetry=self.telemetry,
            live=lambda: live(self.telemetry.loop_health.ages()),
            ready=self.ready,
            now=self.now,
            status=self.status,
            pool=lambda: self._observe().pool,
            open_ledger=lambda: SqliteLedger.open_readonly(path),
            open_pages=lambda: LedgerPages.open(path),
            open_ledger_metrics=lambda: LedgerMetrics.open(path),
            render=_render,
            page=document,
            open_records=lambda stop: open_records(self._choice, stop),
        )

    def ready(self, ledger: LedgerFigures) -> Health:
        """Whether a job can be taken and finished."""
        seen, settings = self._observe(), self._settings
        wrong = {c.name: c.reason for c in self.telemetry.conditions.current()}
        obstacle = next((wrong[name] for name in _OBSTACLES if name in wrong), None)
        return ready(
            ReadinessFacts(
                registered=seen.registered,
                contact_age=self._age(_latest(seen.rainbow_answered, seen.report_delivered)),
                contact_problem=seen.rainbow_problem,
                contact_limit=settings.poll_max + settings.timeout + CONTACT_SLACK_S,
                workload_reachable=seen.workload_followed and not obstacle,
                workload_problem=obstacle or seen.workload_problem,
                # A server that was stopped in its tracks keeps its connections, and the journal
                # is silent: both count, the older one.
                workload_age=self._age(_oldest(seen.workload_journal_read, seen.workload_answered)),
                workload_limit=MAX_TURN_S + settings.report_every,
                ledger_problem=ledger.problem(),
                free_bytes=_free(settings.state_dir),
                draining=drain_file.read_drain(settings.state_dir),
                stopping=seen.stopping,
            )
        )

    def now(self, ledger: LedgerFigures, verdict: Health) -> Now:
        """What the metrics are made of."""
        seen, path = self._observe(), self._settings.ledger_path
        with closing(SqliteLedger.open_readonly(path)) as reader:
            counts = reader.counts()
        return Now(
            cluster=self._settings.cluster,
            workload=self._choice.kind,
            verdict=verdict,
            draining=drain_file.read_drain(self._settings.state_dir) is not None,
            last_contact=seen.rainbow_last_contact,
            pool=seen.pool,
            counts=counts,
            backlog=ledger.backlog(),
            free_bytes=_free(self._settings.state_dir),
            ledger_bytes=sum(_size(Path(f"{path}{end}")) for end in ("", "-wal")),
        )

    def status(self) -> Mapping[str, Any]:
        """The `status` object, with what is live in it."""
        return look(self._settings, self._clock.now(), self.telemetry.facts())

    def _age(self, at: float | None) -> float | None:
        """By the monotonic clock: one that is set must not make it unready."""
        return None if at is None else max(0.0, self._clock.monotonic() - at)


def _latest(*times: float | None) -> float | None:
    return max((at for at in times if at is not None), default=None)


def _oldest(*times: float | None) -> float | None:
    return None if None in times else min(at for at in times if at is not None)


def _render(measured: list[Measured], accept: str) -> tuple[str, bytes]:
    from rainbow_agent.monitoring.exposition import render  # noqa: PLC0415 - with the first scrape

    return render(measured, accept)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return is_local(host)


def _free(folder: Path) -> int | None:
    try:
        return disk.space(folder).free
    except OSError:
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
