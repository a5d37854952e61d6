"""Waiting for the end of jobs that were sent, on the side of the one who sent them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from rainbow_agent.core.errors import RainbowAgentError, Transient
from rainbow_agent.fleet.messages.asking import Asker
from rainbow_agent.fleet.messages.own_inbox import at_inbox
from rainbow_agent.fleet.messages.taking import LOOK_WAIT_S, find_sent, rest, take, view_of
from rainbow_agent.monitoring.sent_views import SILENT, exit_status, is_over
from rainbow_agent.runtime.backoff import Backoff
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.carrier import Carrier
    from rainbow_agent.fleet.messages.sender import Sender
    from rainbow_agent.runtime.stop import Stop

#: Seconds between looks into the inbox: after news, and at most.
MIN_LOOK_S: Final = 0.25
MAX_LOOK_S: Final = 1.0
#: Seconds after which a job that is waited for is asked about, and how many at once.
ASK_AGAIN_S: Final = 120.0
MAX_ASKED_AGAIN: Final = 20


class AwaitedJobs:
    """Jobs that are waited for.

    Args:
        sender: who sent them.
        handles: theirs.
        settings: name the rainbow, and the tokens of the clusters.
        tell: gets what is known of each job that is over, or whose cluster is silent; None where
            silence does not end the wait.
    """

    def __init__(
        self,
        sender: Sender,
        handles: Sequence[str],
        settings: Settings,
        tell: Callable[[Mapping[str, Any]], None] | None,
    ) -> None:
        self._sender, self._settings, self._tell = sender, settings, tell
        #: Handles of those that are not over.
        self.open = [job.handle for job in find_sent(sender.store, handles, settings)]
        #: What each of the others ended with.
        self.statuses: dict[str, int] = {}
        self._problem = ""
        self._clock = SystemClock()
        self._asked: dict[str, float] = {}  # by the monotonic clock: when each was asked about

    def until_over(self, timeout: float | None, stop: Stop) -> bool:
        """Look until none is open, or the time is up; whether the stop ended it before.

        Raises:
            RainbowAgentError: rainbow denies the inbox.
        """
        from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc

        clock, looks = self._clock, Backoff(MIN_LOOK_S, MAX_LOOK_S)
        end = None if timeout is None else clock.monotonic() + timeout
        with closing(connect(at_inbox(self._settings, self._sender.inbox))) as scheduler:
            wait = 0.0
            while True:
                news = self.look(scheduler, wait)
                if not self.open or (end is not None and clock.monotonic() > end):
                    return False
                (looks.worked if news else looks.idled)(clock.monotonic())
                if rest(self._sender, stop, looks.wait()):
                    return True
                left = LOOK_WAIT_S if end is None else end - clock.monotonic()
                wait = max(0.0, min(LOOK_WAIT_S, left))

    def look(self, scheduler: Carrier, wait: float) -> int:
        """Look into the inbox, and say what ended; how many states were news.

        Args:
            scheduler: the rainbow that has it.
            wait: seconds to wait for a message, where rainbow can.

        Raises:
            RainbowAgentError: rainbow denies the inbox.
        """
        try:
            news, self._problem = take(self._sender, scheduler, self._settings, wait), ""
        except Transient as exc:
            news, self._sender.has_waited = 0, False
            if str(exc) != self._problem:
                self._sender.note(f"note: {exc}; it is tried again")
            self._problem = str(exc)
        self._settle()
        if not news:
            self._ask_again(scheduler)
        return news

    def _ask_again(self, scheduler: Carrier) -> None:
        """Messages may be gone: taken by another copy of the folder, or lost by rainbow.

        So jobs without a message for long are asked about, a few at a time.
        """
        now = self._clock.monotonic()
        due = [
            handle
            for handle in self.open
            if now - self._asked.setdefault(handle, now) > ASK_AGAIN_S
        ][:MAX_ASKED_AGAIN]
        if not due:
            return
        try:
            asker = Asker(self._sender, self._settings)
            for job in find_sent(self._sender.store, due, self._settings):
                self._asked[job.handle] = now
                asker.ask(scheduler, job, {"ask": "state"})
        except (RainbowAgentError, Transient) as exc:
            self._sender.note(f"note: cannot ask how the jobs are: {exc}")

    def _settle(self) -> None:
        for job in find_sent(self._sender.store, self.open, self._settings):
            view = view_of(job, self._sender.store, self._settings)
            if job.job is not None and is_over(job):
                self.statuses[job.handle] = exit_status(job.job)
            elif view["state"] == SILENT and self._tell:
                self.statuses[job.handle] = 1
            else:
                continue
            if self._tell:
                self._tell(view)
        self.open = [handle for handle in self.open if handle not in self.statuses]
