"""From the ledger to the inboxes of those who sent jobs: a thread that tells them of each change.

Each message has all of a job's state, so only the last one counts: one that is sent again after a
crash, or comes late, changes nothing. What could not be sent stays in the ledger and is sent later.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from rainbow_agent.core.errors import LedgerBlocked, LedgerError, Refused, Transient
from rainbow_agent.core.handles import SenderAddress
from rainbow_agent.core.model import JobKey
from rainbow_agent.core.packed_jobs import pack_job
from rainbow_agent.core.ports import Clock
from rainbow_agent.fleet.messages import answers, rows
from rainbow_agent.fleet.messages.answers import Answer
from rainbow_agent.fleet.messages.carrier import Carrier
from rainbow_agent.fleet.messages.keys import mac
from rainbow_agent.fleet.messages.post import send
from rainbow_agent.fleet.ports import HandleNews
from rainbow_agent.fleet.session import Session
from rainbow_agent.runtime.backoff import Backoff
from rainbow_agent.runtime.fault_injection import CrashPoint, reach
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger_asked import Request
from rainbow_agent.storage.ledger_handles import Unread, Untold
from rainbow_agent.storage.ledger_unwritable import cannot_write

log = logging.getLogger(__name__)

#: Seconds in which changes are gathered: one row for many jobs, and the daemon's other threads go
#: first.
GATHER_S: Final = 0.3
#: They are gathered for longer where there are many: for so many times as long as to send the last
#: ones took of the processor, and so long at most; at once where so many jobs move together.
_REST: Final = 20.0
MAX_GATHER_S: Final = 1.0
MANY_JOBS: Final = 50
#: Jobs that are read at once; those of one inbox go into one row.
MAX_JOBS: Final = 500
#: Answers that are made one after another before changes go out again.
MAX_ANSWERS: Final = 8
#: Bytes of bodies in one row, about: rainbow takes 4 MiB.
MAX_ROW_BYTES: Final = 1_000_000
#: Bytes of bodies in rows that wait for a sender, as rows.MAX_UNREAD. What is not sent stays
#: in the ledger: the last state of each job.
MAX_UNREAD_BYTES: Final = 16_000_000
#: Of a sender who asks and does not say so, this many times as many are answered.
_ANSWERS: Final = 2
#: A message, and what is noted of its jobs once it is sent: the job, its state, the turn.
_Row = tuple[rows.Message, list[tuple[JobKey, str, int]]]
#: Seconds between attempts while rainbow does not take messages, at least and at most.
MIN_RETRY_S: Final = 1.0
MAX_RETRY_S: Final = 60.0


class Messenger:
    """The thread. `changed()` may be called from any thread.

    Args:
        session: this cluster's; None while it has none, or while others may own it.
        open_scheduler: opens the thread's connection to rainbow.
        open_ledger: opens the thread's ledger.
        keep: seconds after a job's end for which messages about it are sent, at most.
        answer: makes the answer to what a sender asks of a job.
        clock: for the times.
        stop: ends it.
        telemetry: loops, conditions and counters.
    """

    def __init__(
        self,
        *,
        session: Callable[[], Session | None],
        open_scheduler: Callable[[], Carrier],
        open_ledger: Callable[[], HandleNews],
        keep: float,
        answer: Answer,
        clock: Clock,
        stop: Stop,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._session = session
        self._open_scheduler = open_scheduler
        self._open_ledger = open_ledger
        self._keep = keep
        self._answer = answer
        self._clock = clock
        self._telemetry = telemetry or Telemetry(clock)
        self._stop = self._telemetry.loop("messenger", stop)
        self._wake = stop.wake_event()
        self._changed = threading.Event()
        self._denied: dict[str, str] = {}  # what was last said of an inbox that takes nothing
        self._closed: dict[str, float] = {}  # inboxes that take nothing: when to try again
        self._many = False  # whether many jobs moved together since the last turn
        self._spent = 0.0  # seconds of processor time that the last changes took
        #: Set while all that can be sent was sent.
        self.flushed = threading.Event()

    def changed(self, jobs: int = 0) -> None:
        """So many jobs moved, or there is something else to tell."""
        self._many = self._many or jobs >= MANY_JOBS
        self.flushed.clear()
        self._changed.set()
        self._wake.set()

    def run(self) -> None:
        """Tell until the stop."""
        ledger, scheduler = self._open_ledger(), self._open_scheduler()
        backoff, gather = Backoff(MIN_RETRY_S, MAX_RETRY_S), GATHER_S
        try:
            while True:
                self._wake.clear()  # before the stop is looked at, which sets it too
                if self._stop.wait(gather):
                    break
                more = self._turn(ledger, scheduler, backoff)
                gather = gather_after(self._spent)
                if not more:
                    rested = self._clock.monotonic()
                    self._stop.wait_for(self._wake, MAX_RETRY_S)
                    gather = max(GATHER_S, gather - (self._clock.monotonic() - rested))
                if self._many:  # whoever submits them goes first
                    self._many, gather = False, MAX_GATHER_S
            self._telemetry.ended("messenger")
        finally:
            scheduler.close()
            ledger.close()

    def _turn(self, ledger: HandleNews, scheduler: Carrier, backoff: Backoff) -> bool:
        """Tell, or wait where that fails; whether there may be more at once."""
        try:
            more = self.tell(ledger, scheduler)
        except LedgerBlocked as exc:
            cannot_write(self._telemetry.conditions, exc)
            self._telemetry.counters.errors.add(exc.kind)
            self._stop.wait(MIN_RETRY_S)
            return True
        except (Transient, Refused) as exc:
            self._telemetry.counters.errors.add(exc.kind)
            self._telemetry.counters.retries.add("tell")
            backoff.failed()
            self._stop.wait(backoff.wait())
            return True
        backoff.worked(self._clock.monotonic())
        return more

    def tell_last(self) -> None:
        """Send once more, after all other threads ended; what cannot be sent is sent later."""
        try:
            ledger, scheduler = self._open_ledger(), self._open_scheduler()
            try:
                while self.tell(ledger, scheduler):
                    pass
            finally:
                scheduler.close()
                ledger.close()
        except (LedgerError, Transient, Refused) as exc:
            log.warning("Messages to senders of jobs are left for the next start: %s", exc)

    def tell(self, ledger: HandleNews, scheduler: Carrier) -> bool:
        """Send what is not sent; whether there may be more at once.

        Raises:
            Transient, Refused: rainbow takes nothing now.
            LedgerError: the ledger cannot be read or written.
        """
        session = self._session()
        if session is None:
            return False
        self._changed.clear()
        began, now = time.thread_time(), self._clock.monotonic()
        self._closed = {inbox: until for inbox, until in self._closed.items() if until > now}
        unread: dict[SenderAddress, Unread] = {}
        untold = ledger.untold(MAX_JOBS, besides=self._closed)
        if untold:
            unread = ledger.unread(self._clock.now() - self._keep)
            if full := [address for address, waiting in unread.items() if _is_full(waiting)]:
                untold = ledger.untold(MAX_JOBS, besides=self._closed, full=full)
        over = [each for each in untold if self._is_over(each)]
        ledger.mark_told([(each.job.key, each.job.state.value, each.turn) for each in over])
        addressed: dict[tuple[SenderAddress, str], list[Untold]] = {}
        for each in untold:
            if each not in over:
                place = (each.handle.address, each.handle.token)
                addressed.setdefault(place, []).append(each)
        for (address, token), jobs in addressed.items():
            known = unread.get(address, Unread()).rows
            portions = self._portions(address.inbox, session.cluster, jobs, known)
            self._tell_inbox(ledger, scheduler, address, token, portions)
        self._spent = time.thread_time() - began
        answered = self._answer_some(ledger, scheduler, session.cluster)
        if not untold and not answered and not self._changed.is_set():
            self.flushed.set()
        return bool(untold or answered)

    def _answer_some(self, ledger: HandleNews, scheduler: Carrier, cluster: str) -> int:
        """Answer the oldest questions; how many. After the stop they are left to the next start."""
        answered = 0
        for request in ledger.requests(MAX_ANSWERS):
            if self._stop.is_set():
                break
            unread = ledger.unread(self._clock.now() - self._keep)
            if unread.get(request.handle.address, Unread()).rows < _ANSWERS * rows.MAX_UNREAD:
                self._answer_one(ledger, scheduler, cluster, request)
            ledger.end_request(request.seq)
            answered += 1
        return answered

    def _answer_one(
        self, ledger: HandleNews, scheduler: Carrier, cluster: str, request: Request
    ) -> None:
        """Answer something; an inbox that takes nothing gets no answer: its sender asks again."""
        handle = request.handle
        content = self._answer(request.job, request.content)
        at = self._clock.now()
        body = answers.seal_answer(handle, request.counter, int(at * 1000), rows.pack(content))
        signed = rows.signed(handle.inbox, cluster, rows.Kind.ANSWER, handle.id, body)
        part = rows.Part(rows.Kind.ANSWER, handle.id, body, mac(handle.nonce, signed))
        try:
            send(scheduler, handle.token, rows.Message(handle.inbox, cluster, (part,)))
        except Refused as exc:
            self._refused(handle.inbox, exc)
            return
        reach(CrashPoint.ANSWERED)
        ledger.note_row(handle.address, int(at * 1000), len(body), at, self._keep)

    def _is_over(self, each: Untold) -> bool:
        """Whether the time is over for which its sender wants to hear of the job."""
        finished = each.job.finished
        return finished is not None and self._clock.now() > finished + min(
            each.handle.keep, self._keep
        )

    def _portions(
        self, inbox: str, cluster: str, jobs: Sequence[Untold], waiting: int
    ) -> list[_Row]:
        """An inbox's messages about jobs, as rows, and what is noted of each once it is sent.

        Args:
            inbox: whose.
            cluster: this one.
            jobs: what the messages are about.
            waiting: rows of which it is not known whether they took them.
        """
        at = self._clock.now()
        # Never less than before, also where the ledger was put back to an older copy.
        turns = [max(each.turn + 1, int(at * 1000)) for each in jobs]
        parts = [
            _state(cluster, each, turn, at, waiting + 1)
            for each, turn in zip(jobs, turns, strict=True)
        ]
        notes = iter(
            (each.job.key, each.job.state.value, turn)
            for each, turn in zip(jobs, turns, strict=True)
        )
        return [
            (rows.Message(inbox, cluster, portion), [next(notes) for _ in portion])
            for portion in rows.portions(parts, MAX_JOBS, MAX_ROW_BYTES)
        ]

    def _tell_inbox(
        self,
        ledger: HandleNews,
        scheduler: Carrier,
        to: SenderAddress,
        token: str,
        portions: Sequence[_Row],
    ) -> None:
        for message, notes in portions:
            reach(CrashPoint.NEWS_MADE)
            try:
                send(scheduler, token, message)
            except Refused as exc:
                self._refused(message.to, exc)
                return
            reach(CrashPoint.NEWS_TOLD)
            size = sum(len(part.body) for part in message.parts)
            with ledger.transaction():
                ledger.mark_told(notes)
                turn = max(turn for _, _, turn in notes)
                ledger.note_row(to, turn, size, self._clock.now(), self._keep)
            reach(CrashPoint.NEWS_NOTED)
            self._denied.pop(message.to, None)

    def _refused(self, inbox: str, exc: Refused) -> None:
        """The inbox is gone, or was made anew: its jobs run as all others do."""
        if self._denied.get(inbox) != str(exc):
            log.warning(
                "Messages to %s are refused; they are sent again until they are too old: %s",
                inbox,
                exc,
                extra={"action": "inbox_denied", "inbox": inbox},
            )
        self._denied[inbox] = str(exc)
        self._closed[inbox] = self._clock.monotonic() + MAX_RETRY_S


def gather_after(spent: float) -> float:
    """Seconds for which changes are gathered.

    Args:
        spent: seconds of processor time that it took to send the ones before.
    """
    return min(MAX_GATHER_S, max(GATHER_S, _REST * spent))


def _is_full(unread: Unread) -> bool:
    return unread.rows >= rows.MAX_UNREAD or unread.size >= MAX_UNREAD_BYTES


def _state(cluster: str, each: Untold, turn: int, at: float, unread: int) -> rows.Part:
    """How a job is, for the one who sent it; `unread`: rows that they have not said they took."""
    body = rows.pack({"turn": turn, "at": at, "unread": unread, "job": pack_job(each.job)})
    handle = each.handle
    proof = rows.signed(handle.inbox, cluster, rows.Kind.STATE, handle.id, body)
    return rows.Part(rows.Kind.STATE, handle.id, body, mac(handle.nonce, proof))
