"""What senders leave in this cluster's box, as soon as it comes: a thread.

Only where rainbow has boxes; elsewhere what they ask is among the rows that the main loop receives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rainbow_agent.core.errors import LedgerBlocked, Refused, Transient
from rainbow_agent.core.ports import Clock
from rainbow_agent.fleet.messages.carrier import Carrier
from rainbow_agent.fleet.messages.requests import Requests, Told
from rainbow_agent.fleet.ports import Questions
from rainbow_agent.fleet.session import Session
from rainbow_agent.runtime.backoff import Backoff
from rainbow_agent.runtime.stop import Stop

#: Seconds for which rainbow is asked to wait for a message.
LISTEN_S: Final = 20.0
#: Seconds until a rainbow without boxes is asked again: another may have taken its place.
LOOK_AGAIN_S: Final = 300.0
#: Seconds between looks at one that waits for too many others.
BUSY_RAINBOW_S: Final = 5.0
#: Seconds between tries while rainbow cannot be asked.
MIN_LISTEN_RETRY_S: Final = 1.0
MAX_LISTEN_RETRY_S: Final = 10.0
#: Seconds until a cluster that is not registered yet is looked at again.
_NO_SESSION_S: Final = 1.0


class Listener:
    """The thread.

    Args:
        session: this cluster's; None while it has none, or while others may own it.
        open_carrier: opens the thread's connection to rainbow.
        open_ledger: opens the thread's ledger.
        messenger: tells senders what came of what they asked.
        kept: called when there may be something for a job that comes later, or for the main loop.
        clock: for the times.
        stop: ends it.
    """

    def __init__(
        self,
        *,
        session: Callable[[], Session | None],
        open_carrier: Callable[[], Carrier],
        open_ledger: Callable[[], Questions],
        messenger: Told,
        kept: Callable[[], None],
        clock: Clock,
        stop: Stop,
    ) -> None:
        self._session = session
        self._open_carrier = open_carrier
        self._open_ledger = open_ledger
        self._messenger = messenger
        self._kept = kept
        self._clock = clock
        self._stop = stop
        self._ledger: Questions | None = None  # opened with the first message

    def run(self) -> None:
        """Listen until the stop."""
        carrier, backoff = self._open_carrier(), Backoff(MIN_LISTEN_RETRY_S, MAX_LISTEN_RETRY_S)
        try:
            while not self._stop.is_set():
                try:
                    pause = self.turn(carrier)
                    backoff.worked(self._clock.monotonic())
                except (Transient, Refused, LedgerBlocked):  # the other threads say it
                    backoff.failed()
                    pause = backoff.wait()
                self._stop.wait(pause)
        finally:
            carrier.close()
            self.close()

    def close(self) -> None:
        """Close the ledger, if it was needed."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None

    def turn(self, carrier: Carrier) -> float:
        """Wait for messages, and keep and carry out what they ask; seconds until the next turn.

        Raises:
            Transient, Refused: rainbow cannot be asked now.
            LedgerError: the ledger cannot be written.
        """
        session = self._session()
        if session is None:
            return _NO_SESSION_S
        secret = session.secret.reveal()
        box = carrier.messages(session.cluster, secret, LISTEN_S)
        if box is None:
            carrier.close()
            return LOOK_AGAIN_S
        if not box.waited:
            return BUSY_RAINBOW_S
        if not box.messages or self._session() is not session:
            return 0.0
        ledger = self._ledger = self._ledger or self._open_ledger()
        requests = Requests(
            scheduler=carrier, ledger=ledger, clock=self._clock, messenger=self._messenger
        )
        requests.keep(session, [each.message for each in box.messages if each.message is not None])
        self._kept()
        carrier.remove_messages(session.cluster, secret, [each.id for each in box.messages])
        requests.carry_out(session)
        self._kept()
        return 0.0
