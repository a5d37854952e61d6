"""For tests and benchmarks: the page and its data over a ledger that no daemon runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import (
    JobKey,
    Offer,
    Plan,
    PlannedJob,
    PlannedTask,
    Registration,
    TaskChange,
    TaskKey,
)
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.ports import Records
from rainbow_agent.core.states import TaskState
from rainbow_agent.core.workload_values import OutputPiece, OutputTail, TaskEvent
from rainbow_agent.monitoring.exposition import render
from rainbow_agent.monitoring.health import Health
from rainbow_agent.monitoring.http.app import App
from rainbow_agent.monitoring.http.document import document
from rainbow_agent.monitoring.http.routes import Live, Routes
from rainbow_agent.monitoring.http.server import HttpServer
from rainbow_agent.monitoring.http.thread import HttpThread
from rainbow_agent.monitoring.metrics import Now
from rainbow_agent.monitoring.ports import LedgerFigures
from rainbow_agent.monitoring.status import Sources, status_view
from rainbow_agent.runtime.addresses import Address
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.conditions import Conditions
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.settings import load
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_metrics import LedgerMetrics
from rainbow_agent.storage.ledger_paging import LedgerPages
from support.common import Background, eventually

#: A job with a diamond, copies, a failure and what follows from it.
TASKS = (
    PlannedTask("fetch", 1, (), {}),
    PlannedTask("build", 1, ("fetch",), {}),
    PlannedTask("mesh", 1, ("fetch",), {}),
    PlannedTask("solve", 16, ("build", "mesh"), {}),
    PlannedTask("plot", 1, ("solve",), {}),
    PlannedTask("archive", 1, ("solve",), {}),
)
#: More jobs than this have only its first task, so that they are soon there.
MANY = 100
_NODES = 6


class FakeRecords:
    """What a workload manager keeps: the same output of every job, and who runs where."""

    def __init__(self) -> None:
        self.written = [("stdout", b"step 1\nstep 2\n"), ("stderr", b"solve: no convergence\n")]
        self.cut = False
        #: Ids of jobs by the rank that they run on.
        self.running: dict[int, list[int]] = {}

    def eventlog(self, flux_id: int) -> list[TaskEvent]:
        """Nothing."""
        return []

    def expected_start(self, flux_id: int) -> float | None:
        """Not known."""
        return None

    def queue(self, flux_id: int) -> str:
        """None."""
        return ""

    def output(self, flux_ids: Sequence[int], *, follow: bool) -> Iterator[OutputPiece]:
        """The same of each."""
        for flux_id in flux_ids:
            yield from self.tail(flux_id, 0).pieces

    def complaints(self, flux_id: int) -> list[TaskEvent]:
        """None."""
        return []

    def tail(self, flux_id: int, size: int) -> OutputTail:
        """All of it."""
        return OutputTail([OutputPiece(flux_id, *each) for each in self.written], self.cut)

    def running_on(self, rank: int) -> list[int]:
        """As it was set."""
        return self.running.get(rank, [])

    def close(self) -> None:
        """Nothing is open."""


class Shop:
    """A ledger with jobs, a cluster, and what is wrong with both."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.clock = SystemClock()
        self.telemetry = Telemetry(self.clock)
        self.settings = load({"RAINBOW_CLUSTER": "blue", "RAINBOW_STATE_DIR": str(folder)})
        self.pool = PoolView(
            tuple(
                NodeView(n, f"blue-{n}", 32, 4 if n < 2 else 0, cores_free=8 * n % 32, up=n < 5)
                for n in range(_NODES)
            )
        )
        self.records = FakeRecords()
        #: Why the workload manager cannot be asked; "" when it can.
        self.workload_problem = ""
        #: Whether the page is looked at by who may read what tasks print.
        self.owner_asks = True
        with closing(SqliteLedger.open(self.path)) as ledger:
            ledger.open_registration(Registration("r1", "blue", "127.0.0.1:1", self.clock.now()))

    @property
    def conditions(self) -> Conditions:
        """What is wrong."""
        return self.telemetry.conditions

    def fill(self, jobs: int, name: str = "job-{}") -> list[JobKey]:
        """Jobs in several states, as a daemon would have written them."""
        with closing(SqliteLedger.open(self.path)) as ledger, ledger.transaction():
            now = self.clock.now() - 600
            first = sum(ledger.counts().values()) + 1
            offers = [
                Offer(number, name.format(number), "blue", "version: 1")
                for number in range(first, first + jobs)
            ]
            keys = ledger.record_offers("r1", offers, now)
            plan = Plan("", TASKS if jobs <= MANY else TASKS[:1])
            ledger.record_plans([PlannedJob(key, plan) for key in keys], [], now)
            for key in keys:
                story = _Story(key, now)
                ledger.apply(story.whole() if jobs <= MANY else story.short())
        return keys

    def live(self) -> Live:
        """What the places are made of."""
        return Live(
            clock=self.clock,
            telemetry=self.telemetry,
            live=lambda: Health(()),
            ready=lambda _: Health(()),
            now=self._now,
            status=self._status,
            pool=lambda: self.pool,
            open_ledger=lambda: SqliteLedger.open_readonly(self.path),
            open_pages=lambda: LedgerPages.open(self.path),
            open_ledger_metrics=lambda: LedgerMetrics.open(self.path),
            render=render,
            page=document,
            open_records=self._open_records,
            is_owner=lambda _: self.owner_asks,
        )

    def _open_records(self, _: Stop) -> Records:
        if self.workload_problem:
            raise WorkloadUnavailable(self.workload_problem)
        return self.records

    def _status(self) -> dict[str, object]:
        now = self.clock.now()
        with closing(SqliteLedger.open_readonly(self.path)) as ledger:
            found = Sources(
                pid=os.getpid(),
                since=now - 3600,
                runtime={
                    "version": "1.2.3",
                    "heartbeat": now,
                    "rainbow": {"reachable": True, "last_contact": now},
                    "workload": {"kind": "flux", "uri": "local:///run/flux", "reachable": True},
                    "resources": self.pool.totals(),
                    **self.telemetry.facts(),
                },
                counts=ledger.counts(),
                registration="r1",
            )
        return status_view(self.settings, found, now)

    def _now(self, ledger: LedgerFigures, verdict: Health) -> Now:
        with closing(SqliteLedger.open_readonly(self.path)) as reader:
            counts = reader.counts()
        return Now(
            cluster="blue",
            workload="flux",
            verdict=verdict,
            draining=False,
            last_contact=self.clock.now(),
            pool=self.pool,
            counts=counts,
            backlog=ledger.backlog(),
            free_bytes=2**30,
            ledger_bytes=self.path.stat().st_size,
        )

    @contextmanager
    def serving(self, port: int = 0) -> Iterator[str]:
        """The page's URL, for the length of a with block; port 0 is any that is free."""

        def open_server(where: Address) -> HttpServer:
            routes = Routes(self.live()).routes()
            app = App(routes, local=True, counts=self.telemetry.counters.requests)
            return HttpServer(where.host, where.port, app)

        stop = Stop()
        serving = HttpThread(
            address=Address("127.0.0.1", port),
            open_server=open_server,
            telemetry=self.telemetry,
            stop=stop,
        )
        thread = Background(serving.run, "http")
        thread.start()
        try:
            eventually(lambda: serving.facts()["address"] or thread.died_of, "it serves")
            yield f"http://{serving.facts()['address']}/"
        finally:
            stop.set("the test is over")
            thread.end()


class _Story:
    """What became of a job, by its number: over (0), failed (1), running (2) or waiting (3)."""

    def __init__(self, job: JobKey, begin: float) -> None:
        self._job, self._begin = job, begin
        self._kind = job.id % 4
        self.news: list[TaskChange] = []

    def short(self) -> list[TaskChange]:
        """Of a job with the first task alone."""
        self._submit(TASKS[:1])
        if self._kind != 3:
            code = 3 if self._kind == 1 else 0
            self._run("fetch", 2, None if self._kind == 2 else 12, code=code)
        return self.news

    def whole(self) -> list[TaskChange]:
        """Of a job with all of TASKS."""
        self._submit(TASKS)
        if self._kind == 3:
            return self.news
        self._run("fetch", 2, 12)
        self._run("build", 12, 160)
        self._run("mesh", 12, 90)
        for n in range(16):
            over = None if self._kind == 2 and n > 5 else 300 + 5 * n
            self._run("solve", 160, over, n, code=3 if (self._kind, n) == (1, 4) else 0)
        for task in ("plot", "archive"):
            if self._kind == 0:
                self._run(task, 380, 400 + 20 * (task == "plot"))
            elif self._kind == 1:
                reason = "a task that it depends on did not end well"
                self._tell(task, TaskState.CANCELED, 380, reason=reason, finished=self._begin + 380)
        return self.news

    def _submit(self, tasks: Sequence[PlannedTask]) -> None:
        for number, task in enumerate(tasks):
            for replica in range(task.replicas):
                flux_id = self._job.id * 1000 + number * 50 + replica
                self._tell(task.name, TaskState.SUBMITTED, 1, replica, flux_id=flux_id)

    def _run(
        self, task: str, start: float, end: float | None, replica: int = 0, *, code: int = 0
    ) -> None:
        self._tell(task, TaskState.RUNNING, start, replica, started=self._begin + start)
        if end is not None:
            state = TaskState.FAILED if code else TaskState.COMPLETED
            reason = f"exit code {code}" if code else None
            facts = {"exit_code": code, "finished": self._begin + end, "reason": reason}
            self._tell(task, state, end, replica, **facts)

    def _tell(
        self, task: str, state: TaskState, after: float, replica: int = 0, **facts: Any
    ) -> None:
        key, at = TaskKey(self._job, task, replica), self._begin + after
        self.news.append(TaskChange(key, state, at, f"it is {state.value}", **facts))
