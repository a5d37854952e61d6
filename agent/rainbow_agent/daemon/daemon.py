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
from typing import Final

from rainbow_agent.core.errors import (
    LedgerBlocked,
    LedgerError,
    RainbowAgentError,
    Refused,
    Transient,
)
from rainbow_agent.core.ports import Clock
from rainbow_agent.daemon.members import Members
from rainbow_agent.daemon.round import Round
from rainbow_agent.daemon.threads import Threads, stop_because_of
from rainbow_agent.runtime.loops import Loop, Telemetry
from rainbow_agent.runtime.pace import Pace
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_unwritable import cannot_write, write_again

log = logging.getLogger(__name__)

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
    pace: Pace  # the time between polls
    clock: Clock
    telemetry: Telemetry
    journal_stop: Stop  # ends the journal's thread, which sees the end of what is canceled
    resources: ExitStack  # closed at the end
    until_idle: bool = False
    cancel_on_stop: bool = False  # whether a stop cancels the jobs that run
    threads: Threads = field(init=False)

    def __post_init__(self) -> None:
        self.threads = Threads(self.stop)
        self._fleet, self._jobs = self.members.fleet, self.members.jobs
        self._round = Round(
            self.members,
            loop=self.loop,
            pace=self.pace,
            clock=self.clock,
            telemetry=self.telemetry,
        )

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
                more_at_once = self._round.run()
                self._write_status()
                if not more_at_once:
                    self._wait(self.pace.wait(self.clock.monotonic()))
        with self._waiting_for_the_ledger():
            if self._jobs.unfinished():
                self._round.run()

    def _wait(self, seconds: float) -> None:
        """Until the next poll; shorter while the journal is read or the last job is awaited."""
        caught_up, end = self._jobs.journal.caught_up, self.clock.monotonic() + seconds
        while (left := end - self.clock.monotonic()) > 0:
            if self.until_idle and self._round.nothing_left():
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

    @contextmanager
    def _waiting_for_the_ledger(self) -> Iterator[None]:
        """While the ledger cannot be written nothing new is begun, and what runs continues."""
        try:
            yield
        except LedgerBlocked as exc:
            cannot_write(self.telemetry.conditions, exc)
            self.telemetry.counters.errors.add(exc.kind)
            self.telemetry.counters.retries.add("write")
            self.pace.failed(self.clock.monotonic())
            self._write_status()
            self.loop.wait(self.pace.wait(self.clock.monotonic()))

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
        self.threads.start("messenger", self._fleet.messenger.run)
        self.threads.start("listener", self._fleet.listener.run)
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
            self._fleet.messenger.tell_last()
        self._write_status(force=True)
        self.resources.close()

    def _cancel_running(self) -> None:
        try:
            self._jobs.cancel_running(self.stop)
            if self._fleet.session is not None:
                self._fleet.accept(self._fleet.session)
        except (Transient, Refused, LedgerError) as exc:
            log.warning("Not all could be ended in order; the next start does: %s", exc)
