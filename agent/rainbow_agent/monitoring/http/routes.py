"""Where each answer comes from: what is live in this process, and the ledger, read anew."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from rainbow_agent.core.model import JobKey, JobRow
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.ports import Clock, Records
from rainbow_agent.core.states import JobState
from rainbow_agent.monitoring.blocked import by_conditions
from rainbow_agent.monitoring.explain import explain_text, explain_view, history_of
from rainbow_agent.monitoring.health import Health
from rainbow_agent.monitoring.http.app import is_local
from rainbow_agent.monitoring.http.jobs import job_detail, page_view
from rainbow_agent.monitoring.http.messages import (
    BadRequestError,
    ForbiddenError,
    HttpRequest,
    NotFoundError,
    Response,
    as_json,
    as_text,
)
from rainbow_agent.monitoring.http.peer import Peer, is_owner
from rainbow_agent.monitoring.http.workload_view import WorkloadView
from rainbow_agent.monitoring.job_history import JobHistory
from rainbow_agent.monitoring.metrics import Now, Render, measure
from rainbow_agent.monitoring.ports import Histories, JobPages, LedgerFigures
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop

T = TypeVar("T")

#: Seconds that an answer may be given again: who asks a thousand times costs as who asks twice.
MAX_ANSWER_AGE_S = 0.5
#: Jobs in one answer: at most, and by default.
MAX_PAGE_JOBS, DEFAULT_PAGE_JOBS = 500, 50


@dataclass(frozen=True)
class Live:
    """What the daemon's process knows, and how to look at the rest. From any thread."""

    clock: Clock
    telemetry: Telemetry
    live: Callable[[], Health]
    ready: Callable[[LedgerFigures], Health]
    now: Callable[[LedgerFigures, Health], Now]
    status: Callable[[], Mapping[str, Any]]
    pool: Callable[[], PoolView | None]
    open_ledger: Callable[[], Histories]
    open_pages: Callable[[], JobPages]
    open_ledger_metrics: Callable[[], LedgerFigures]
    render: Render
    page: Callable[[], Response]
    open_records: Callable[[Stop], Records]
    #: Whether who asks may read what tasks print.
    is_owner: Callable[[Peer], bool] = is_owner


class _Cached(Generic[T]):
    """A value that is made again when it is asked for and too old."""

    def __init__(self, make: Callable[[], T], clock: Clock) -> None:
        self._make, self._clock = make, clock
        self._guard = threading.Lock()
        self._at = float("-inf")
        self._value: T | None = None

    def get(self) -> T:
        with self._guard:
            if self._value is None or self._clock.monotonic() - self._at >= MAX_ANSWER_AGE_S:
                self._value = self._make()
                self._at = self._clock.monotonic()
            return self._value


class Routes:
    """The routes' answers."""

    def __init__(self, live: Live) -> None:
        self._live = live
        with self._measures() as ledger:
            self._history = JobHistory(ledger.newest())
        self._ready = _Cached(self._judge, live.clock)
        self._measured = _Cached(self._measure, live.clock)
        self._status = _Cached(live.status, live.clock)
        self._workload = WorkloadView(live.open_records)

    def routes(self) -> dict[str, Callable[[HttpRequest, tuple[str, ...]], Response]]:
        """Every place and its answer."""
        return {
            "/": lambda _, __: self._live.page(),
            "/livez": lambda request, _: _verdict(self._live.live(), request),
            "/readyz": lambda request, _: _verdict(self._ready.get(), request),
            "/metrics": lambda request, _: self._metrics(request),
            "/status.json": lambda _, __: as_json(self._status.get()),
            "/api/nodes": lambda _, __: self._nodes(),
            "/api/jobs": lambda request, _: self._jobs(request),
            "/api/jobs/*/*": lambda _, taken: self._job(taken),
            "/api/jobs/*/*/explain": lambda _, taken: self._explain(taken),
            "/api/jobs/*/*/output": self._output,
        }

    def _judge(self) -> Health:
        with self._measures() as ledger:
            return self._live.ready(ledger)

    def _measure(self) -> Any:
        with self._measures() as ledger:
            self._history.catch_up(ledger)
            now = self._live.now(ledger, self._live.ready(ledger))
        return measure(now, self._live.telemetry, self._history)

    def _metrics(self, request: HttpRequest) -> Response:
        content_type, text = self._live.render(self._measured.get(), request.accept)
        return Response(200, content_type, text)

    def _nodes(self) -> Response:
        pool = self._live.pool()
        nodes = [] if pool is None else [_node(view) for view in pool.nodes]
        return as_json({"known": pool is not None, "nodes": nodes})

    def _jobs(self, request: HttpRequest) -> Response:
        try:
            states = tuple(JobState(text) for text in request.query.get("state", ()))
        except ValueError as exc:
            known = ", ".join(state.value for state in JobState)
            raise BadRequestError(f"state: each has to be one of {known}") from exc
        before = _number(request, "before", 0, 2**62)
        limit = _number(request, "limit", 1, MAX_PAGE_JOBS) or DEFAULT_PAGE_JOBS
        rank = _number(request, "node", 0, 2**31)
        running_as = None if rank is None else self._workload.running_on(rank)
        with closing(self._live.open_pages()) as ledger:
            page = ledger.page(
                states=states,
                before=before,
                text=request.first("text")[:200],
                limit=limit,
                running_as=running_as,
            )
        return as_json(page_view(page))

    def _job(self, taken: tuple[str, ...]) -> Response:
        return as_json(job_detail(self._row(taken)))

    def _row(self, taken: tuple[str, ...]) -> JobRow:
        with closing(self._live.open_ledger()) as ledger:
            row = ledger.job(_key(taken))
        if row is None:
            raise NotFoundError(f"no job {'/'.join(taken)[:100]} in the ledger")
        return row

    def _output(self, request: HttpRequest, taken: tuple[str, ...]) -> Response:
        """What a task prints is for who could read it with `rainbow-agent logs`, too.

        The Host header has to mean this machine: a web page elsewhere must not read it through
        the browser of somebody who may.
        """
        if not (is_local(request.host) and self._live.is_owner(request.peer)):
            raise ForbiddenError(
                "what tasks print is shown to the agent's own user and root, on its machine"
            )
        return as_json(self._workload.output(self._row(taken), request.first("task")))

    def _explain(self, taken: tuple[str, ...]) -> Response:
        with closing(self._live.open_ledger()) as ledger:
            history = history_of(ledger, _key(taken))
        if history is None:
            raise NotFoundError(f"no job {'/'.join(taken)[:100]} in the ledger")
        reasons = {each.name: each.reason for each in self._live.telemetry.troubles()}
        history = replace(history, blocked=by_conditions(history.job, reasons))
        return as_text(explain_text(explain_view(history, self._live.clock.now())) + "\n")

    @contextmanager
    def _measures(self) -> Iterator[LedgerFigures]:
        with closing(self._live.open_ledger_metrics()) as ledger:
            yield ledger


def _verdict(verdict: Health, request: HttpRequest) -> Response:
    status = 200 if verdict.ok else 503
    if request.wants_json:
        return as_json(verdict.as_json(), status)
    return as_text(verdict.as_text(), status)


def _node(view: NodeView) -> dict[str, Any]:
    state = "up" if view.up else "drained" if view.drained else "down"
    return {
        "rank": view.rank,
        "name": view.name,
        "state": state,
        "cores": view.cores,
        "cores_used": view.cores - view.cores_free if view.up else 0,
        "gpus": view.gpus,
        "gpus_used": view.gpus - view.gpus_free if view.up else 0,
    }


def _key(taken: tuple[str, ...]) -> JobKey:
    registration, number = taken
    if not number.isascii() or not number.isdigit() or len(number) > 18:
        raise NotFoundError(f"{number[:40]!r} is not a job id")
    return JobKey(registration, int(number))


def _number(request: HttpRequest, name: str, least: int, most: int) -> int | None:
    text = request.first(name)
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
        raise BadRequestError(f"{name} must be a whole number from {least} to {most}")
    return int(text)
