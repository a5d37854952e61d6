"""The daemon's three phases: start, loop, shutdown.

One thread polls, submits and accepts (this one); one follows the workload manager's journal; one
reports. They meet in the ledger. A thread that dies stops the daemon, with its reason.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from math import inf

from rainbow_agent.core.errors import (
    ClusterUnknown,
    Fatal,
    LedgerBlocked,
    LedgerDamaged,
    RainbowAgentError,
    Refused,
    RequestDenied,
    Transient,
    WorkloadUnavailable,
)
from rainbow_agent.core.model import Drain
from rainbow_agent.daemon import shutdown
from rainbow_agent.daemon.parts import Contact, Parts
from rainbow_agent.fleet.registration import Session, SessionError
from rainbow_agent.jobs.cancel import Canceler
from rainbow_agent.jobs.dispatcher import Dispatcher
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.storage.ledger_rebuild import STRAYS
from rainbow_agent.storage.ledger_unwritable import cannot_write, write_again

log = logging.getLogger(__name__)

#: Seconds between two writings of runtime.json at least.
TELL = 1.0
#: Seconds that a round waits for answers about submissions, where more depends on them.
TURN = 1.0
#: Seconds between looks at the ledger when waiting for the last job to end.
LOOK = 0.1
#: Seconds between two writings of runtime.json at most, however seldom rainbow is asked.
HEARTBEAT = 5.0


class Daemon:
    """Runs until a stop, a fatal error, or (with until_idle) until nothing is left to do."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._stop = parts.stop
        self._bell = parts.bell
        self.threads: list[threading.Thread] = []
        self._dispatcher: Dispatcher | None = None
        self._canceler = Canceler(parts.ledger, parts.clock)
        self._recovered = 0
        self._moves = parts.telemetry.loop("main", parts.stop)
        self._conditions = parts.telemetry.conditions
        self._counters = parts.telemetry.counters
        self._rainbow = parts.rainbow
        self._workload = Contact()
        self._told, self._owed = float("-inf"), False
        self._nothing_waits = False
        self._drain: Drain | None = None

    def run(self) -> int:
        """The exit code."""
        try:
            self._start()
            self._loop()
        except Fatal as exc:
            self._fatal(exc)
        finally:
            self._shut_down()
        return self._stop.exit_code

    def _fatal(self, exc: RainbowAgentError) -> None:
        if str(exc) != self._stop.reason:  # both threads may meet the same wall
            log.critical("%s", exc, extra={"action": "fatal"})
        self._stop.set(str(exc), exc.exit_code, exc)

    # -- start ---------------------------------------------------------------------------------

    def _start(self) -> None:
        self._parts.registrar.resume()  # a stop may come at once, and has a last report to make
        for name, target in (
            ("journal", self._parts.journal.run),
            ("reporter", self._parts.reporter.run),
            *self._parts.threads.items(),
        ):
            thread = threading.Thread(
                target=self._guard, args=(name, target), name=name, daemon=True
            )
            self.threads.append(thread)
            thread.start()
        self._tell(force=True)
        self._parts.ready()

    def _guard(self, name: str, target: Callable[[], None]) -> None:
        """Run a thread; if it dies, so does the daemon, and says of what."""
        try:
            target()
        except RainbowAgentError as exc:
            self._fatal(exc)
        except Exception as exc:  # whatever it was, the daemon must not go on half alive
            log.critical("The %s thread died: %s", name, exc, exc_info=True)
            self._stop.set(f"the {name} thread died: {exc}", 1)

    # -- loop ----------------------------------------------------------------------------------

    def _loop(self) -> None:
        while not self._moves.is_set():
            try:
                if write_again(self._parts.ledger, self._parts.clock, self._conditions):
                    self._parts.reporter.changed()
                more = self._tick()
                self._tell()
                if not more:
                    self._wait(self._parts.backoff.wait())
            except LedgerBlocked as exc:
                self._blocked(exc)
        try:
            if self._unfinished():
                self._tick()
        except LedgerBlocked as exc:
            self._blocked(exc)

    def _blocked(self, exc: LedgerBlocked) -> None:
        """The ledger cannot be written: nothing is begun until it can, and what runs goes on."""
        cannot_write(self._conditions, exc)
        self._again("write", exc)
        self._parts.backoff.failed()
        self._tell()
        self._moves.wait(self._parts.backoff.wait())

    def _tick(self) -> bool:
        """One round. True when there may be more to receive at once."""
        self._look_for_drain()
        try:
            self._cancel_what_is_wished()
            return self._round()
        except WorkloadUnavailable as exc:
            self._conditions.set(ConditionName.WORKLOAD_TAKES_NO_JOBS, str(exc))
            self._again("submit", exc)
            if self._workload.bad(str(exc)):
                self._pause("The workload manager", exc)
        except (Transient, Refused) as exc:
            self._conditions.set(
                ConditionName.RAINBOW_UNREACHABLE
                if isinstance(exc, Transient)
                else ConditionName.RAINBOW_REFUSES,
                str(exc),
            )
            self._again("poll", exc)
            if self._rainbow.bad(str(exc)):
                self._pause("Rainbow", exc)
        self._parts.backoff.failed()
        return False

    def _cancel_what_is_wished(self) -> None:
        """End the jobs that somebody wants to end; rainbow need not be there for that."""
        if not self._parts.journal.caught_up.is_set() or not self._canceler.wished():
            return
        self._dispatcher = self._dispatcher or self._parts.open_dispatcher()
        try:
            moved = self._canceler.carry_out(self._dispatcher.cancel)
        except WorkloadUnavailable:  # the connection is gone, with what a long chain has in flight
            self._drop_dispatcher()
            raise
        if moved:
            self._parts.reporter.changed()

    def _look_for_drain(self) -> None:
        """Whether the operator wants new jobs taken, for the whole of this round."""
        before, self._drain = self._drain, self._parts.draining()
        if (before is None) == (self._drain is None):
            return
        if self._drain is None:
            log.info("Taking new jobs again", extra={"action": "resumed"})
        else:
            because = f": {self._drain.reason}" if self._drain.reason else ""
            log.info("Taking no new jobs%s", because, extra={"action": "draining"})
        self._parts.reporter.changed()

    def _again(self, what: str, exc: RainbowAgentError) -> None:
        self._counters.errors.add(exc.kind)
        self._counters.retries.add(what)

    def _pause(self, who: str, exc: Exception) -> None:
        if self._stop.is_set():  # what is cut short by a stop is no news
            return
        log.warning("%s: %s", who, exc, extra={"action": "paused"})

    def _round(self) -> bool:
        parts = self._parts
        try:
            self._recover()
            first = parts.registrar.session is None
            session = parts.registrar.ensure()
            if first:
                parts.reporter.changed()
        except (Transient, Refused):
            self._submit_alone()
            raise
        try:
            if not parts.settle(session):
                parts.backoff.worked(parts.clock.monotonic())
                return False
            more = self._exchange(self._published(session))
            return more or (self._unfinished() and parts.journal.caught_up.is_set())
        except (RequestDenied, ClusterUnknown) as exc:
            self._conditions.set(ConditionName.RAINBOW_DENIED, str(exc))
            self._again("poll", exc)
            parts.session_error(SessionError(session, exc))
            return False

    def _published(self, session: Session) -> Session:
        """Tell rainbow what changed about the cluster; the session then."""
        try:
            self._parts.publish(session)
            return self._parts.registrar.ensure()
        except (Transient, Refused):
            self._submit_alone()
            raise

    def _submit_alone(self) -> None:
        """Rainbow is away, or wants something first: jobs that are ours already need it not."""
        if self._parts.holds():
            self._submit()

    def _recover(self) -> None:
        session_errors = self._parts.session_errors
        while not session_errors.empty():
            session_error = session_errors.get()
            try:
                self._parts.registrar.recover(session_error)
            except (Transient, LedgerBlocked):
                session_errors.put(session_error)  # not healed yet
                raise
            self._parts.reporter.changed()

    def _exchange(self, session: Session) -> bool:
        """Submit, accept, receive, submit, accept. True when the answer was full."""
        parts = self._parts
        ready = self._submit()
        parts.inbox.accept(session)
        if not ready or self._dispatcher_behind():
            parts.listen(session)
            return False
        if self._drain is not None:
            self._nothing_waits = True  # nothing that would be taken
            if parts.reporter.delivered is not None:
                self._rainbow.good(parts.reporter.delivered, parts.reporter.delivered_at)
            self._rainbow_is_well()  # nothing is asked: a report that is not delivered says it
            parts.listen(session)
            parts.backoff.idled(parts.clock.monotonic())
            return False
        most = parts.may_take()
        if most == 0:
            parts.listen(session)
            parts.backoff.idled(parts.clock.monotonic())
            return False
        new, full = parts.inbox.receive(session, most)
        parts.took(len(new))
        self._counters.polls.add("jobs" if new else "empty")
        self._rainbow.good(parts.clock.now(), parts.clock.monotonic())
        self._rainbow_is_well()
        self._nothing_waits = not new
        if not new:
            self._adopt_rest()
            parts.rotate_secret()
            parts.backoff.idled(parts.clock.monotonic())
            return False
        parts.backoff.worked(parts.clock.monotonic())
        parts.reporter.changed()
        self._submit()
        parts.inbox.accept(session)
        return full

    def _rainbow_is_well(self) -> None:
        for name in (
            ConditionName.RAINBOW_UNREACHABLE,
            ConditionName.RAINBOW_DENIED,
            ConditionName.RAINBOW_REFUSES,
        ):
            self._conditions.clear(name)

    def _adopt_rest(self) -> None:
        """Rainbow offers no more: jobs of which the journal has a part only are no longer its."""
        if self._parts.journal.adopt_partly.is_set() or not self._parts.ledger.note(STRAYS):
            return
        self._parts.journal.adopt_partly.set()
        self._parts.journal.request_resync()

    def _submit(self) -> bool:
        """Submit what is pending. False while the workload manager is not ready for it."""
        journal = self._parts.journal
        if not journal.caught_up.is_set():
            return False
        try:
            self._dispatcher = self._dispatcher or self._parts.open_dispatcher()
            if self._recovered != journal.generation:
                if self._dispatcher.unfinished():
                    self._dispatcher.run(self._moves)
                if self._dispatcher.unfinished():
                    return False  # a stop: what is in flight stays `submitting` for the next start
                self._recovered = journal.generation
                self._dispatcher.recover()
            # What was found pending again just now, and shall end, never goes there.
            self._cancel_what_is_wished()
            if self._unfinished() or self._dispatcher.behind():
                # While rainbow is away there is nothing else to do.
                self._dispatcher.run(self._moves, TURN if self._rainbow.reachable else inf)
                if self._dispatcher.wants_history:
                    self._dispatcher.wants_history = False
                    journal.request_resync()
                    return False
        except (WorkloadUnavailable, LedgerBlocked):
            self._drop_dispatcher()
            raise
        self._workload.good(self._parts.clock.now())
        self._conditions.clear(ConditionName.WORKLOAD_TAKES_NO_JOBS)
        return not self._stop.is_set()

    def _unfinished(self) -> bool:
        return self._dispatcher is not None and self._dispatcher.unfinished()

    def _dispatcher_behind(self) -> bool:
        return self._dispatcher is None or self._dispatcher.behind()

    def _drop_dispatcher(self) -> None:
        """What was in flight is looked up in the journal's history.

        The connection is gone, or what became of it could not be written down. It is closed first:
        what it sent must not arrive after the history was read.
        """
        if self._dispatcher is not None:
            self._dispatcher.close()
            self._dispatcher = None
        self._parts.journal.request_resync()

    def _idle(self) -> bool:
        """Whether nothing waits in rainbow, nothing runs, and rainbow knows all of it."""
        parts = self._parts
        session = parts.registrar.session
        return (
            self._nothing_waits
            and session is not None
            and not parts.ledger.open_jobs()
            and not parts.ledger.unaccepted(session.registration)
            and parts.reporter.flushed.is_set()
        )

    def _wait(self, seconds: float) -> None:
        """Until the next poll; shorter while the journal is read or the last job is awaited."""
        clock, journal = self._parts.clock, self._parts.journal
        end = clock.monotonic() + seconds
        while (left := end - clock.monotonic()) > 0:
            if self._parts.until_idle and self._idle():
                self._stop.set("nothing is left to do")
                return
            reading = not journal.caught_up.is_set()
            short = reading or self._parts.until_idle
            rung = self._moves.wait_for(self._bell, min(left, LOOK if short else TELL))
            self._bell.clear()
            if rung or (reading and journal.caught_up.is_set()) or self._canceler.wished():
                return
            if clock.monotonic() - self._told >= (TELL if self._owed else HEARTBEAT):
                self._tell()

    def _tell(self, *, force: bool = False) -> None:
        """Say how we are, for `status`."""
        now = self._parts.clock.monotonic()
        self._owed = now - self._told < TELL and not force
        if self._owed:
            return
        self._told = now
        if not self._stop.is_set():
            self._parts.check()
        self._parts.tell(self._parts.facts(self._drain))

    # -- shutdown ------------------------------------------------------------------------------

    def _shut_down(self) -> None:
        self._stop.set("the main loop ended")
        self._parts.stopping()
        log.info("Stopping: %s", self._stop.reason, extra={"action": "stopping"})
        if self._parts.cancel_on_stop and self._stop.exit_code == 0 and self._parts.holds():
            self._cancel_jobs()
        self._parts.listening.set(self._stop.reason)
        shutdown.join(self.threads, self._stop, self._moves.beat)
        if self._dispatcher is not None:
            self._dispatcher.close()
        if self._stop.exit_code == 0:
            self._parts.reporter.report_last()
        self._tell(force=True)
        self._parts.close()

    def _cancel_jobs(self) -> None:
        parts, registrar = self._parts, self._parts.registrar
        try:
            dispatcher = self._dispatcher = self._dispatcher or parts.open_dispatcher()
            shutdown.cancel_jobs(parts.ledger, dispatcher.cancel, parts.clock, self._stop)
            if registrar.session is not None:
                parts.inbox.accept(registrar.session)
        except (Transient, Refused, LedgerDamaged) as exc:
            log.warning("Not all could be ended in order; the next start does: %s", exc)
