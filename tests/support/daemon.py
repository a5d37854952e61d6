"""A whole agent in one process: real loops, threads, ledger and waits; fake is what is outside.

`World` is what outlives an agent (rainbow, the workload manager, the disk), `Agent` one daemon in a
thread of its own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from rainbow_agent.core.model import JobChange, Registration
from rainbow_agent.core.ports import Clock
from rainbow_agent.core.site import Site
from rainbow_agent.core.states import JobState
from rainbow_agent.daemon.circuit_breaker import CircuitBreaker
from rainbow_agent.daemon.daemon import Daemon
from rainbow_agent.daemon.drain_watch import DrainWatch
from rainbow_agent.daemon.members import Members
from rainbow_agent.daemon.status_writer import StatusWriter
from rainbow_agent.daemon.systemd import Notifier
from rainbow_agent.fleet.contact import Contact
from rainbow_agent.fleet.fleet import Fleet, SessionErrors
from rainbow_agent.fleet.graph_publisher import GraphPublisher
from rainbow_agent.fleet.intake import Intake
from rainbow_agent.fleet.messages.messenger import Messenger
from rainbow_agent.fleet.messages.requests import Requests
from rainbow_agent.fleet.ownership import Ownership
from rainbow_agent.fleet.ownership_messages import AgentIdentity, OwnershipRecord
from rainbow_agent.fleet.registration import Registrar
from rainbow_agent.fleet.reporter import Reporter
from rainbow_agent.inventory.watcher import NodeWatcher
from rainbow_agent.jobs.dispatcher import Dispatcher
from rainbow_agent.jobs.jobs import Jobs
from rainbow_agent.jobs.journal import JournalFollower
from rainbow_agent.monitoring.build import Monitoring
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.loops import Loop, Telemetry
from rainbow_agent.runtime.memory import MemoryRelease
from rainbow_agent.runtime.pace import Pace
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.history_keeper import HistoryKeeper
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_history import Keep, LedgerHistory
from rainbow_agent.workload.choose import Choice
from support.common import Background, FakeCredentialStore, jobspec_json, plan_json
from support.ledger import check_invariants
from support.scheduler import REGISTRATION_SECRET, FakeScheduler
from support.senders import listener_without_cluster
from support.workload import FakeWorkload
from support.workload_connection import FakeConnection

#: A job of two tasks, the second after the first.
PAIR = jobspec_json({"build": [], "ior": ["build"]})


class World:
    """What outlives an agent: rainbow, the workload manager, the disk."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.rainbow = FakeScheduler()
        self.server = FakeWorkload(auto=True)
        self.store = FakeCredentialStore()
        self.ownership = RememberedOwnership()
        self.secret = REGISTRATION_SECRET
        self.max_jobs = 256
        self.statuses: list[dict[str, Any]] = []
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


class RecordingStatusWriter(StatusWriter):
    """Keeps what was written to runtime.json, in order."""

    def __init__(
        self, world: World, settings: Settings, choice: Choice, service: Notifier, clock: Clock
    ) -> None:
        super().__init__(settings, choice, service, clock.now(), clock)
        self._world = world

    def write(self, facts: Mapping[str, Any]) -> None:
        """See StatusWriter."""
        super().write(facts)
        self._world.statuses.append(
            json.loads((self._world.path.parent / "runtime.json").read_text())
        )


class FakeNodes(NodeWatcher):
    """Nodes that never change."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def run(self) -> None:
        """Nothing happens until the stop."""
        self._agent.stop.wait()

    def facts(self) -> dict[str, Any]:
        """Nothing to say."""
        return {"nodes": None}


class NoToken:
    """Credentials without a token: the registration is never renewed."""

    def token(self) -> str:
        """There is none."""
        return ""


class RememberedOwnership:
    """What a state folder remembers of the ownership."""

    def __init__(self) -> None:
        self._kept: OwnershipRecord | None = None

    def load(self) -> OwnershipRecord | None:
        """What was saved."""
        return self._kept

    def save(self, ownership_record: OwnershipRecord) -> None:
        """Keep it."""
        self._kept = ownership_record


class Agent:
    """One daemon in a thread of its own, built as daemon/build.py does it, over fakes."""

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
        """Until it is built; they are made in its thread, which owns its ledger."""
        self.thread.start()
        if not self._built.wait(120):
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
            self.daemon = self._daemon()
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

    def _daemon(self) -> Daemon:
        world, clock, telemetry = self.world, SystemClock(), self.telemetry
        wake, main = self.stop.wake_event(), telemetry.loop("main", self.stop)
        ledger = SqliteLedger.open(world.path)
        resources = ExitStack()
        resources.callback(self._closed)
        resources.callback(ledger.close)
        fleet = self._fleet(ledger, main, wake)
        jobs = self._jobs(ledger)
        self.journal, self.reporter = jobs.journal, fleet.reporter
        settings = Settings(cluster="blue", state_dir=world.path.parent)
        service = Notifier("")
        members = Members(
            nodes=FakeNodes(self),
            fleet=fleet,
            jobs=jobs,
            monitoring=Monitoring(None),
            history=HistoryKeeper(
                lambda: LedgerHistory.open(world.path),
                keep=Keep(None, None),
                clock=clock,
                stop=self.stop,
                on_shrink=lambda _: None,
                on_removed=lambda: None,
            ),
            memory=MemoryRelease(clock.monotonic),
            breaker=CircuitBreaker(conditions=telemetry.conditions, clock=clock, limit=1000),
            drain=DrainWatch(lambda: None),
            status=RecordingStatusWriter(
                world, settings, Choice("fake", "fake", "a test"), service, clock
            ),
            service=service,
        )
        return Daemon(
            members,
            ledger=ledger,
            stop=self.stop,
            loop=main,
            wake=wake,
            pace=Pace(0.005, 0.02, "blue", now=clock.monotonic()),
            clock=clock,
            telemetry=telemetry,
            journal_stop=self.stop,
            resources=resources,
            until_idle=self._until_idle,
        )

    def _fleet(self, ledger: SqliteLedger, main: Loop, wake: threading.Event) -> Fleet:
        world, clock, telemetry = self.world, SystemClock(), self.telemetry
        contact, session_errors = Contact(clock, telemetry, main), SessionErrors(wake)
        ownership = Ownership(
            scheduler=world.rainbow,
            store=world.ownership,
            token=lambda: "",
            identity=AgentIdentity("this", "here", 1, 1.0, "/state"),
            poll_max=0.02,
            clock=clock,
            conditions=telemetry.conditions,
        )
        publisher = GraphPublisher(
            scheduler=world.rainbow, ledger=ledger, clock=clock, description=lambda: None
        )
        registrar = self._registrar(ledger, publisher, ownership)
        reporter = Reporter(
            session=lambda: registrar.session,
            open_scheduler=lambda: world.rainbow,
            open_ledger=lambda: SqliteLedger.open(world.path),
            open_workload=self._connect,
            memory_per_node=self._memory,
            operator={},
            every=0.5,
            cluster="blue",
            clock=clock,
            stop=self.stop,
            session_error=session_errors.put,
            telemetry=telemetry,
        )
        return Fleet(
            registrar=registrar,
            publisher=publisher,
            ownership=ownership,
            intake=Intake(
                scheduler=world.rainbow, ledger=ledger, clock=clock, max_jobs=world.max_jobs
            ),
            reporter=reporter,
            messenger=(messenger := self._messenger(registrar)),
            listener=listener_without_cluster(self.stop),
            requests=Requests(
                scheduler=world.rainbow, ledger=ledger, clock=clock, messenger=messenger
            ),
            contact=contact,
            session_errors=session_errors,
            credentials=NoToken(),
            ledger=ledger,
            scheduler=world.rainbow,
        )

    def _registrar(
        self, ledger: SqliteLedger, publisher: GraphPublisher, ownership: Ownership
    ) -> Registrar:
        world = self.world
        return Registrar(
            cluster="blue",
            host="127.0.0.1:1",
            secret=Secret(world.secret),
            secret_source="the test",
            scheduler=world.rainbow,
            store=world.store,
            ledger=ledger,
            graph=lambda: "{}",
            registration_id="of {}".format,
            clock=SystemClock(),
            graph_events=publisher,
            ownership=ownership,
        )

    def _messenger(self, registrar: Registrar) -> Messenger:
        return Messenger(
            session=lambda: registrar.session,
            open_scheduler=lambda: self.world.rainbow,
            open_ledger=lambda: SqliteLedger.open(self.world.path),
            keep=3600.0,
            answer=lambda _key, _asked: {},
            clock=SystemClock(),
            stop=self.stop,
            telemetry=self.telemetry,
        )

    def _jobs(self, ledger: SqliteLedger) -> Jobs:
        clock = SystemClock()
        journal = JournalFollower(
            open_workload=self._connect,
            open_ledger=self._open_ledger,
            clock=clock,
            stop=self.stop,
            on_change=self._changed,
            telemetry=self.telemetry,
        )
        journal.EVENT_WAIT_S = 0.02
        return Jobs(
            ledger=ledger,
            journal=journal,
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
            on_change=self._changed,
            clock=clock,
            conditions=self.telemetry.conditions,
        )

    def _changed(self, _: list[JobChange]) -> None:
        self.reporter.changed()

    def _closed(self) -> None:
        self.closed = True
