"""What a daemon is put together from (daemon/wiring.py does it)."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rainbow_agent.core.model import Drain
from rainbow_agent.core.ports import Clock
from rainbow_agent.fleet.inbox import Inbox
from rainbow_agent.fleet.registration import Registrar, Session, SessionError
from rainbow_agent.fleet.reporter import Reporter
from rainbow_agent.jobs.dispatcher import Dispatcher
from rainbow_agent.jobs.journal import JournalFollower
from rainbow_agent.runtime.backoff import Backoff
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger


@dataclass
class Contact:
    """When the other side answered last, and what is wrong since."""

    reachable: bool | None = None
    last_contact: float | None = None
    problem: str = ""
    seen: float | None = None  # as last_contact, by the monotonic clock

    def good(self, at: float, seen: float | None = None) -> None:
        """It answered, at `at` (epoch seconds) and `seen` (by the monotonic clock)."""
        self.reachable, self.last_contact, self.problem = True, at, ""
        self.seen = self.seen if seen is None else seen

    def bad(self, problem: str) -> bool:
        """It did not; True when this is a new problem."""
        fresh = problem != self.problem
        self.reachable, self.problem = False, problem
        return fresh


@dataclass
class Parts:
    """What bootstrap puts together for one daemon."""

    registrar: Registrar
    inbox: Inbox
    ledger: SqliteLedger
    journal: JournalFollower
    reporter: Reporter
    clock: Clock
    stop: Stop
    backoff: Backoff
    open_dispatcher: Callable[[], Dispatcher]
    tell: Callable[[dict[str, Any]], None]
    close: Callable[[], None]
    bell: threading.Event  # of the stop; wakes the main loop
    telemetry: Telemetry
    session_errors: queue.SimpleQueue[SessionError] = field(default_factory=queue.SimpleQueue)
    #: What is known of rainbow; whoever asks it for the main loop keeps it true.
    rainbow: Contact = field(default_factory=Contact)
    until_idle: bool = False
    #: Looks at what no loop meets by itself, such as the disk; sets conditions.
    check: Callable[[], None] = lambda: None
    #: More threads, by name.
    threads: Mapping[str, Callable[[], None]] = field(default_factory=dict)
    #: Tells rainbow what changed about the cluster itself.
    publish: Callable[[Session], None] = lambda _: None
    #: How many jobs may be asked for now; None: as many as there are. Then: how many came.
    may_take: Callable[[], int | None] = lambda: None
    took: Callable[[int], None] = lambda _: None
    #: Whether this agent is the one that takes this cluster's jobs; not known yet: False.
    settle: Callable[[Session], bool] = lambda _: True
    #: Whether it is, as far as it is known.
    holds: Callable[[], bool] = lambda: True
    #: Answers who asks for that, while no jobs are asked for.
    listen: Callable[[Session], None] = lambda _: None
    #: Sees to it that nobody else has our secret, when nothing waits.
    rotate_secret: Callable[[], None] = lambda: None
    #: More for `status`.
    more: Callable[[], dict[str, Any]] = dict
    #: The operator's wish that no new jobs are taken; None when they may be.
    draining: Callable[[], Drain | None] = lambda: None
    #: Is called once all loops run.
    ready: Callable[[], None] = lambda: None
    #: Is called when it begins to end.
    stopping: Callable[[], None] = lambda: None
    #: Whether a stop cancels the jobs that run.
    cancel_on_stop: bool = False
    #: Ends the journal's thread, which hears the end of what is canceled.
    listening: Stop = field(default_factory=Stop)

    def facts(self, drain: Drain | None) -> dict[str, Any]:
        """How we are, for `status`; `drain` is what the main loop goes by."""
        session, pool = self.registrar.session, self.reporter.pool
        journal = self.journal
        return {
            "heartbeat": self.clock.now(),
            "registration": session.registration if session else None,
            "rainbow": vars(self.rainbow),
            "workload": {"reachable": journal.reachable, "problem": journal.problem},
            "resources": pool.totals() if pool else None,
            "draining": vars(drain) if drain else None,
            **self.telemetry.facts(),
            **self.more(),
        }

    def session_error(self, found: SessionError) -> None:
        """Something is lost in rainbow; from any thread. The main loop heals it at once."""
        self.session_errors.put(found)
        self.bell.set()
