"""The daemon's three phases: start, loop, shutdown.

One thread polls, submits and accepts (this one); one follows the workload manager's journal; one
reports; one watches the nodes. They meet in the ledger. A thread that dies stops the daemon, with
its reason.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Final

from rainbow_agent.core.errors import (
    ClusterUnknown,
    LedgerBlocked,
    LedgerError,
    NotDescribed,
    RainbowAgentError,
    Refused,
    RequestDenied,
    Transient,
    WorkloadUnavailable,
)
from rainbow_agent.core.ports import Clock
from rainbow_agent.daemon.members import Members
from rainbow_agent.daemon.threads import Threads, stop_because_of
from rainbow_agent.fleet.session import Session
from rainbow_agent.runtime.backoff import Backoff
from rainbow_agent.runtime.loops import Loop, Telemetry
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_unwritable import cannot_write, write_again

log = logging.getLogger(__name__)

#: Seconds that a round waits for answers about submissions, where more depends on them.
SUBMIT_TURN_S: Final = 1.0
#: Seconds of one wait of the main loop at most.
WAIT_SLICE_S: Final = 1.0
#: The same while the journal's history is read, or the end of the last job is awaited.
SHORT_WAIT_SLICE_S: Final = 0.1


@dataclass
class Daemon:
    """Runs until a stop, a fatal error, or (with until_idle) until nothing is left to do."""

    members: Members
    ledger: SqliteLedger  # the main loop's
    stop: Stop  # ends all of it
    loop: Loop  # the main loop's own stop signal
    wake: threading.Event  # ends the main loop's wait; a stop sets it too
    backoff: Backoff  # the time between polls
    clock: Clock
    telemetry: Telemetry
    journal_stop: Stop  # ends the journal's thread, which hears the end of what is canceled
    resources: ExitStack  # closed at the end
    until_idle: bool = False
    cancel_on_stop: bool = False  # whether a stop cancels the jobs that run
    threads: Threads = field(init=False)

    def __post_init__(self) -> None:
        self.threads = Threads(self.stop)
        self._fleet, self._jobs = self.members.fleet, self.members.jobs
        self._nothing_waits = False  # in rainbow, of what would be taken

    def run(self) -> int:
        """The exit code."""
        try:
            self._start()
            self._main_loop()
        except RainbowAgentError as exc:
            stop_because_of(self.stop, exc)
        finally:
            self._shut_down()
        return self.stop.exit_code

    # -- the loop ------------------------------------------------------------------------------

    def _main_loop(self) -> None:
        while not self.loop.is_set():
            with self._waiting_for_the_ledger():
                if write_again(self.ledger, self.clock, self.telemetry.conditions):
                    self._fleet.changed()
                more_at_once = self._round()
                self._write_status()
                if not more_at_once:
                    self._wait(self.backoff.wait())
        with self._waiting_for_the_ledger():
            if self._jobs.unfinished():
                self._round()

    def _round(self) -> bool:
        """Submit, accept, receive, submit, accept; True when there may be more at once."""
        if self.members.drain.look():
            self._fleet.changed()
        try:
            self._jobs.cancel_requested()
            with self._submitting_meanwhile():
                session = self._fleet.register()
            try:
                return self._exchange(session)
            except (RequestDenied, ClusterUnknown) as exc:
                self._count("poll", exc)
                self._fleet.lost(session, exc)
                return False
        except WorkloadUnavailable as exc:
            self._count("submit", exc)
            self._add_row("The workload manager", exc, new=self._jobs.submit_failed(exc))
        except NotDescribed as exc:  # a condition of the node watcher's says so
            self._count("describe", exc)
        except (Transient, Refused) as exc:
            self._count("poll", exc)
            self._add_row("Rainbow", exc, new=self._fleet.contact.failed(exc))
        self.backoff.failed()
        return False

    def _exchange(self, session: Session) -> bool:
        if not self._fleet.resolve_ownership(session):
            self.backoff.worked(self.clock.monotonic())
            return False
        with self._submitting_meanwhile():
            session = self._fleet.publish(session)
        ready = self._submit()
        self._fleet.accept(session)
        most = self._room() if ready and not self._jobs.behind() else 0
        if most == 0:
            self._fleet.answer_other_agents(session)
            return self._answers_are_awaited()
        new, full = self._fleet.receive(session, most)
        self.members.breaker.took(len(new))
        self._nothing_waits = not new
        if not new:
            self._jobs.nothing_offered()
            self._fleet.rotate_secret()
            self.backoff.idled(self.clock.monotonic())
            return self._answers_are_awaited()
        self.backoff.worked(self.clock.monotonic())
        self._submit()
        self._fleet.accept(session)
        return full or self._answers_are_awaited()

    def _wait(self, seconds: float) -> None:
        """Until the next poll; shorter while the journal is read or the last job is awaited."""
        caught_up, end = self._jobs.journal.caught_up, self.clock.monotonic() + seconds
        while (left := end - self.clock.monotonic()) > 0:
            if self.until_idle and self._idle():
                self.stop.set("nothing is left to do")
                return
            reading = not caught_up.is_set()
            longest = SHORT_WAIT_SLICE_S if reading or self.until_idle else WAIT_SLICE_S
            woken = self.loop.wait_for(self.wake, min(left, longest))
            self.wake.clear()
            caught_up_now = reading and caught_up.is_set()
            if woken or caught_up_now or self._jobs.cancellation_requested():
                return
            if self.members.status.overdue():
                self._write_status()

    # -- its steps -----------------------------------------------------------------------------

    def _submit(self) -> bool:
        """Submit what is pending. False when no more is to be received before that is done."""
        # While rainbow is away there is nothing else to do.
        turn = SUBMIT_TURN_S if self._fleet.contact.reachable else inf
        return self._jobs.submit(self.loop, turn) and not self.stop.is_set()

    @contextmanager
    def _submitting_meanwhile(self) -> Iterator[None]:
        """Rainbow is away, or wants something first: jobs that are ours already need it not."""
        try:
            yield
        except (Transient, Refused):
            if self._fleet.owned:
                self._submit()
            raise

    def _answers_are_awaited(self) -> bool:
        return self._jobs.unfinished() and self._jobs.journal.caught_up.is_set()

    def _room(self) -> int | None:
        """How many jobs may be asked for now; 0 for none, None for as many as there are."""
        drained = self.members.drain.on
        if drained:
            self._nothing_waits = True
            self._fleet.nothing_to_receive()
        most = 0 if drained else self.members.breaker.may_take()
        if most == 0:
            self.backoff.idled(self.clock.monotonic())
        return most

    @contextmanager
    def _waiting_for_the_ledger(self) -> Iterator[None]:
        """While the ledger cannot be written nothing new is begun, and what runs continues."""
        try:
            yield
        except LedgerBlocked as exc:
            cannot_write(self.telemetry.conditions, exc)
            self._count("write", exc)
            self.backoff.failed()
            self._write_status()
            self.loop.wait(self.backoff.wait())

    def _idle(self) -> bool:
        """Whether nothing waits in rainbow, nothing runs, and rainbow knows all of it."""
        return self._nothing_waits and self._jobs.all_over() and self._fleet.all_reported()

    def _count(self, what: str, exc: RainbowAgentError) -> None:
        self.telemetry.counters.errors.add(exc.kind)
        self.telemetry.counters.retries.add(what)

    def _add_row(self, who: str, exc: Exception, *, new: bool) -> None:
        if new and not self.stop.is_set():  # what is cut short by a stop is no news
            log.warning("%s: %s", who, exc, extra={"action": "paused"})

    def _write_status(self, *, force: bool = False) -> None:
        if not force and not self.members.status.due():
            return
        if not self.stop.is_set():
            self.members.monitoring.check()
        self.members.status.write({**self.members.facts(), **self.telemetry.facts()})

    # -- start and shutdown --------------------------------------------------------------------

    def _start(self) -> None:
        self._fleet.resume()  # a stop may come at once, and has a last report to make
        self.threads.start("journal", self._jobs.journal.run)
        self.threads.start("reporter", self._fleet.reporter.run)
        self.threads.start("lookout", self.members.nodes.run)
        self.threads.start("history", self.members.history.run)
        if self.members.monitoring.http is not None:
            self.threads.start("http", self.members.monitoring.http.run)
        self._write_status(force=True)
        self.members.service.ready()

    def _shut_down(self) -> None:
        self.stop.set("the main loop ended")
        if not isinstance(self.stop.cause, LedgerError):  # after which it restarts
            self.members.service.stopping()
        log.info("Stopping: %s", self.stop.reason, extra={"action": "stopping"})
        if self.cancel_on_stop and self.stop.exit_code == 0 and self._fleet.owned:
            self._cancel_running()
        self.journal_stop.set(self.stop.reason)
        self.threads.join(self.loop.beat)
        self._jobs.close()
        if self.stop.exit_code == 0:
            self._fleet.reporter.report_last()
        self._write_status(force=True)
        self.resources.close()

    def _cancel_running(self) -> None:
        try:
            self._jobs.cancel_running(self.stop)
            if self._fleet.session is not None:
                self._fleet.accept(self._fleet.session)
        except (Transient, Refused, LedgerError) as exc:
            log.warning("Not all could be ended in order; the next start does: %s", exc)
