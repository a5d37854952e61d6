"""A whole agent in one process: real loops, threads, ledger and waits; fake is what is outside.

`World` is what outlives an agent (rainbow, the workload manager, the disk), `Agent` one daemon in a
thread of its own. Put together as bootstrap does it.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rainbow_agent.core.model import JobChange, Registration
from rainbow_agent.core.site import Site
from rainbow_agent.core.states import JobState
from rainbow_agent.daemon.daemon import Daemon
from rainbow_agent.daemon.parts import Parts
from rainbow_agent.fleet.inbox import Inbox
from rainbow_agent.fleet.registration import Registrar, SessionError
from rainbow_agent.fleet.reporter import Reporter
from rainbow_agent.jobs.dispatcher import Dispatcher
from rainbow_agent.jobs.journal import JournalFollower
from rainbow_agent.runtime.backoff import Backoff
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import Background, FakeCredentialStore, jobspec_json, plan_json
from support.ledger import check_invariants
from support.scheduler import REGISTRATION_SECRET, FakeScheduler
from support.workload import FakeConnection, FakeWorkload

#: A job of two tasks, the second after the first.
PAIR = jobspec_json({"build": [], "ior": ["build"]})


class World:
    """What outlives an agent: rainbow, the workload manager, the disk."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.rainbow = FakeScheduler()
        self.server = FakeWorkload(auto=True)
        self.store = FakeCredentialStore()
        self.secret = REGISTRATION_SECRET
        self.max_jobs = 256
        self.told: list[dict[str, Any]] = []
        self.agents: list[Agent] = []

    def registered(self) -> None:
        """Rainbow knows the cluster from an earlier run: jobs may wait before the agent starts."""
        given = self.rainbow.register("blue", REGISTRATION_SECRET, "{}")
        self.store.save(given)
        with self.ledger() as ledger:
            registration = Registration(f"of {given.secret}", "blue", "127.0.0.1:1", 1.0)
            ledger.open_registration(registration)

    def agent(self, *, until_idle: bool = False) -> Agent:
        """An agent that was not started yet; it is ended with the test."""
        agent = Agent(self, until_idle=until_idle)
        self.agents.append(agent)
        return agent

    def runs_until_idle(self) -> int | None:
        """An agent that ends when nothing is left to do; its exit code."""
        agent = self.agent(until_idle=True)
        agent.start()
        agent.ends()
        return agent.exit_code

    @contextmanager
    def ledger(self) -> Iterator[SqliteLedger]:
        """A connection of the test's own."""
        ledger = SqliteLedger.open(self.path)
        try:
            yield ledger
        finally:
            ledger.close()

    def states(self) -> list[JobState]:
        """Of all jobs, by time received."""
        with self.ledger() as ledger:
            return [job.state for job in ledger.jobs()]

    def end(self) -> None:
        """End every agent; then: the ledger keeps its rules, connections are closed.

        Raises:
            AssertionError: something ran twice, or was left open.
        """
        for agent in self.agents:
            agent.stop.set("the test is over")
            with suppress(ZeroDivisionError):  # the bug of a test, which looked at it
                agent.thread.end()
        with self.ledger() as ledger:
            check_invariants(ledger)
        if any(count > 1 for count in self.server.became_job.values()):
            raise AssertionError(f"ran twice: {self.server.became_job}")
        if not all(c.closed for agent in self.agents for c in agent.connections):
            raise AssertionError("a connection was left open")

    def all_are(self, state: JobState, count: int) -> Callable[[], bool]:
        """For eventually()."""
        return lambda: self.states() == [state] * count


class Agent:
    """One daemon in a thread of its own, put together as bootstrap does it."""

    def __init__(self, world: World, *, until_idle: bool) -> None:
        self.world = world
        self.stop = Stop()
        self.exit_code: int | None = None
        self.closed = False
        self.connections: list[FakeConnection] = []
        self.memory_per_node: Callable[[], int | None] = lambda: 8_000_000_000
        self.open_workload: Callable[[], FakeConnection] = world.server.connect
        self.open_ledger: Callable[[], SqliteLedger] = lambda: SqliteLedger.open(world.path)
        self.telemetry = Telemetry(SystemClock())
        self._until_idle = until_idle
        self._built = threading.Event()
        self.thread = Background(self._run, "agent")

    def start(self) -> None:
        """Until its parts are there; they are made in its thread, which owns its ledger."""
        self.thread.start()
        if not self._built.wait(30.0):
            raise AssertionError("the agent was not made in time")

    def ends(self) -> None:
        """Wait until it has ended by itself."""
        self.thread.end()

    def ends_after_stop(self) -> None:
        """As SIGTERM would end it."""
        self.stop.set("the test stops it")
        self.thread.end()

    def _run(self) -> None:
        try:
            self.daemon = Daemon(self._parts())
        finally:
            self._built.set()
        self.exit_code = self.daemon.run()

    def _connect(self) -> FakeConnection:
        connection = self.open_workload()
        self.connections.append(connection)
        return connection

    def _open_ledger(self) -> SqliteLedger:
        return self.open_ledger()

    def _memory(self) -> int | None:
        return self.memory_per_node()

    def _parts(self) -> Parts:
        world, clock = self.world, SystemClock()
        session_errors: queue.SimpleQueue[SessionError] = queue.SimpleQueue()
        ledger = SqliteLedger.open(world.path)
        registrar = Registrar(
            cluster="blue",
            host="127.0.0.1:1",
            secret=Secret(world.secret),
            secret_source="the test",
            scheduler=world.rainbow,
            store=world.store,
            ledger=ledger,
            graph=lambda: "{}",
            registration_id="of {}".format,
            clock=clock,
        )
        self.journal = JournalFollower(
            open_workload=self._connect,
            open_ledger=self._open_ledger,
            clock=clock,
            stop=self.stop,
            on_change=self._changed,
            telemetry=self.telemetry,
        )
        self.journal.PATIENCE = 0.02
        self.reporter = Reporter(
            session=lambda: registrar.session,
            open_scheduler=lambda: world.rainbow,
            open_ledger=lambda: SqliteLedger.open(world.path),
            open_workload=self._connect,
            memory_per_node=self._memory,
            operator={},
            every=0.5,
            clock=clock,
            stop=self.stop,
            session_error=session_errors.put,
            telemetry=self.telemetry,
        )
        return Parts(
            registrar=registrar,
            inbox=Inbox(
                scheduler=world.rainbow, ledger=ledger, clock=clock, max_jobs=world.max_jobs
            ),
            ledger=ledger,
            journal=self.journal,
            reporter=self.reporter,
            clock=clock,
            stop=self.stop,
            backoff=Backoff(0.005, 0.02),
            open_dispatcher=lambda: Dispatcher(
                ledger=ledger,
                workload=self._connect(),
                plan_text=plan_json,
                site=lambda: Site(()),
                environment={},
                clock=clock,
                grace=10.0,
                on_change=self._changed,
            ),
            tell=lambda facts: world.told.append(json.loads(json.dumps(facts))),
            close=lambda: self._close(ledger),
            session_errors=session_errors,
            bell=self.stop.bell(),
            telemetry=self.telemetry,
            until_idle=self._until_idle,
        )

    def _changed(self, _: list[JobChange]) -> None:
        self.reporter.changed()

    def _close(self, ledger: SqliteLedger) -> None:
        ledger.close()
        self.closed = True
