"""Joins what is served over HTTP; a part of bootstrap."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from rainbow_agent.daemon.parts import Parts
from rainbow_agent.monitoring.health import CONTACT_SLACK, Facts, Verdict, live, ready
from rainbow_agent.monitoring.http.app import App, is_local
from rainbow_agent.monitoring.http.document import document
from rainbow_agent.monitoring.http.routes import Live, Places
from rainbow_agent.monitoring.http.thread import HttpThread, Server
from rainbow_agent.monitoring.metrics import Measured, Now
from rainbow_agent.monitoring.ports import LedgerFigures
from rainbow_agent.monitoring.status_sources import look
from rainbow_agent.runtime.addresses import Address
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.loops import LIMIT
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import disk
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_metrics import LedgerMetrics
from rainbow_agent.storage.ledger_paging import LedgerPages

#: The conditions under which rainbow's answers to others than polls do not count.
_NO_JOBS = frozenset(
    {
        ConditionName.RAINBOW_UNREACHABLE,
        ConditionName.RAINBOW_DENIED,
        ConditionName.RAINBOW_REFUSES,
    }
)


def assemble_web(settings: Settings, address: Address, parts: Parts, kind: str) -> HttpThread:
    """What serves.

    Args:
        settings: of this run.
        address: where.
        parts: whose truth is told; of them only what any thread may read.
        kind: of the workload manager.
    """
    seen = _Seen(settings, parts, kind)

    def open_server(where: Address) -> Server:
        from rainbow_agent.monitoring.http.server import HttpServer  # noqa: PLC0415 - not for off

        places = Places(seen.live())
        counts = parts.telemetry.counters.requests
        app = App(places.routes(), local=_is_loopback(where.host), counts=counts)
        return HttpServer(where.host, where.port, app)

    return HttpThread(
        address=address, open_server=open_server, telemetry=parts.telemetry, stop=parts.stop
    )


class _Seen:
    """The daemon as other threads may see it."""

    def __init__(self, settings: Settings, parts: Parts, kind: str) -> None:
        self._settings = settings
        self._parts = parts
        self._kind = kind

    def live(self) -> Live:
        """Everything that the places are made of."""
        parts, path = self._parts, self._settings.ledger_path
        return Live(
            clock=parts.clock,
            telemetry=parts.telemetry,
            live=lambda: live(parts.telemetry.loop_health.ages()),
            ready=self.ready,
            now=self.now,
            status=self.status,
            pool=lambda: parts.reporter.pool,
            open_ledger=lambda: SqliteLedger.open_readonly(path),
            open_pages=lambda: LedgerPages.open(path),
            open_ledger_metrics=lambda: LedgerMetrics.open(path),
            render=_render,
            page=document,
        )

    def ready(self, ledger: LedgerFigures) -> Verdict:
        """Whether a job can be taken and finished."""
        parts = self._parts
        wrong = {c.name: c.reason for c in parts.telemetry.conditions.current()}
        no_submits = wrong.get(ConditionName.WORKLOAD_TAKES_NO_JOBS)
        drain = parts.draining()
        return ready(
            Facts(
                registered=parts.registrar.session is not None,
                contact_age=self._contact_age(trust_reports=not _NO_JOBS & wrong.keys()),
                contact_problem=parts.rainbow.problem,
                contact_limit=self._settings.poll_max + self._settings.timeout + CONTACT_SLACK,
                workload_reachable=parts.journal.caught_up.is_set() and not no_submits,
                workload_problem=no_submits or parts.journal.problem,
                workload_age=self._workload_age(),
                workload_limit=LIMIT + self._settings.report_every,
                ledger_problem=ledger.problem(),
                free_bytes=_free(self._settings.state_dir),
                draining=drain.reason if drain else None,
                stopping=parts.stop.is_set(),
            )
        )

    def now(self, ledger: LedgerFigures, verdict: Verdict) -> Now:
        """What the metrics are made of."""
        parts, path = self._parts, self._settings.ledger_path
        with closing(SqliteLedger.open_readonly(path)) as reader:
            counts = reader.counts()
        return Now(
            cluster=self._settings.cluster,
            workload=self._kind,
            verdict=verdict,
            draining=parts.draining() is not None,
            last_contact=parts.rainbow.last_contact,
            pool=parts.reporter.pool,
            counts=counts,
            backlog=ledger.backlog(),
            free_bytes=_free(self._settings.state_dir),
            ledger_bytes=sum(_size(Path(f"{path}{end}")) for end in ("", "-wal")),
        )

    def status(self) -> Mapping[str, Any]:
        """The `status` object, with what is live in it."""
        live = self._parts.telemetry.facts()
        return look(self._settings, self._parts.clock.now(), live)

    def _workload_age(self) -> float | None:
        """Seconds since both who read its journal and who asked for its resources had an answer.

        A server that was stopped in its tracks keeps its connections, and the journal is silent.
        """
        seen = (self._parts.journal.looked, self._parts.reporter.looked)
        if any(at is None for at in seen):
            return None
        return self._parts.clock.monotonic() - min(at for at in seen if at is not None)

    def _contact_age(self, *, trust_reports: bool) -> float | None:
        """Seconds since rainbow answered a poll, or (while those are well) a report.

        By the monotonic clock: one that is set must not make it unready.
        """
        seen = [self._parts.rainbow.seen]
        if trust_reports:
            seen.append(self._parts.reporter.delivered_at)
        last = max((at for at in seen if at is not None), default=None)
        return None if last is None else max(0.0, self._parts.clock.monotonic() - last)


def _render(measured: list[Measured], accept: str) -> tuple[str, bytes]:
    from rainbow_agent.monitoring.metrics import render  # noqa: PLC0415 - with the first scrape

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
