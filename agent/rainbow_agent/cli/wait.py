"""`rainbow-agent wait`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Final

import click

from rainbow_agent.cli.asking import Asker
from rainbow_agent.cli.common import TIMED_OUT, reports_errors, say, settings_options
from rainbow_agent.cli.sent import LOOK_WAIT_S, find_sent, rest, take, view_of
from rainbow_agent.core.errors import RainbowAgentError, Transient, UsageError
from rainbow_agent.core.handles import is_handle
from rainbow_agent.fleet.messages.own_inbox import at_inbox, sender_of
from rainbow_agent.monitoring.sent_views import SILENT, exit_status, is_over
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.fleet.messages.carrier import Carrier
    from rainbow_agent.fleet.messages.sender import Sender

#: Seconds between looks into the inbox: after news, and at most.
MIN_LOOK_S: Final = 0.25
MAX_LOOK_S: Final = 1.0
#: Seconds after which a job that is waited for is asked about, and how many at once.
ASK_AGAIN_S: Final = 120.0
MAX_ASKED_AGAIN: Final = 20


@click.command(name="wait")
@click.argument("handles", nargs=-1, required=True, metavar="HANDLE...")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    metavar="SECONDS",
    help="How long to wait at most, then it exits with status 124; default: no limit.",
)
@settings_options("host", "config", "sent_dir")
@reports_errors
def command(handles: tuple[str, ...], timeout: float | None, settings: Settings) -> None:
    """Wait for the end of jobs that were sent from here, and exit as they did.

    Exits with status 0 if all completed, and else with the exit code of the first that did not. A
    cluster that does not report back ends the wait with status 1, and with the reason.

    Example: rainbow-agent wait rb-7k3fq2mz5x6yacde --timeout 3600
    """
    for handle in handles:
        if not is_handle(handle):
            raise UsageError(f"{handle[:40]!r} is not a handle: `submit` prints it, as rb-...")
    with sender_of(settings) as sender:
        sys.exit(wait_for(sender, handles, settings, timeout))


def wait_for(
    sender: Sender, handles: Sequence[str], settings: Settings, timeout: float | None
) -> int:
    """Wait until all are over, and say how each ended; the exit status.

    Raises:
        RainbowAgentError: one is not known, or rainbow denies the inbox.
    """
    waiting = _Waiting(sender, handles, settings, quiet=False)
    stopped = waiting.until_over(timeout)
    if not waiting.open:
        return next((waiting.statuses[each] for each in handles if waiting.statuses[each]), 0)
    if stopped:
        say("error: interrupted; the jobs continue", err=True)
        return 1
    say(f"error: {len(waiting.open)} of {len(handles)} jobs are not over", err=True)
    return TIMED_OUT


def wait_quietly(
    sender: Sender, handles: Sequence[str], settings: Settings, timeout: float
) -> None:
    """Wait until all are over, or the time is up; nothing is said of how they ended.

    Raises:
        RainbowAgentError: one is not known, or rainbow denies the inbox.
    """
    _Waiting(sender, handles, settings, quiet=True).until_over(timeout)


class _Waiting:
    """Jobs that are waited for."""

    def __init__(
        self, sender: Sender, handles: Sequence[str], settings: Settings, *, quiet: bool
    ) -> None:
        self._sender, self._settings, self._quiet = sender, settings, quiet
        #: Handles of those that are not over.
        self.open = [job.handle for job in find_sent(sender.store, handles, settings)]
        #: What each of the others ended with.
        self.statuses: dict[str, int] = {}
        self._problem = ""
        self._clock = SystemClock()
        self._asked: dict[str, float] = {}  # by the monotonic clock: when each was asked about

    def until_over(self, timeout: float | None) -> bool:
        """Look until none is open, or the time is up; whether a signal ended it before.

        Raises:
            RainbowAgentError: rainbow denies the inbox.
        """
        from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc
        from rainbow_agent.runtime.backoff import Backoff  # noqa: PLC0415 - with the others
        from rainbow_agent.runtime.stop import stop_on_signals  # noqa: PLC0415 - likewise

        clock, looks = self._clock, Backoff(MIN_LOOK_S, MAX_LOOK_S)
        end = None if timeout is None else clock.monotonic() + timeout
        with (
            stop_on_signals() as stop,
            closing(connect(at_inbox(self._settings, self._sender.inbox))) as scheduler,
        ):
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
                say(f"note: {exc}; it is tried again", err=True)
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
            say(f"note: cannot ask how the jobs are: {exc}", err=True)

    def _settle(self) -> None:
        for job in find_sent(self._sender.store, self.open, self._settings):
            view = view_of(job, self._sender.store, self._settings)
            if job.job is not None and is_over(job):
                reason = f": {view['reason']}" if view["reason"] else ""
                if not self._quiet:
                    say(f"{job.handle} ({job.name}) on {job.cluster}: {view['state']}{reason}")
                self.statuses[job.handle] = exit_status(job.job)
            elif view["state"] == SILENT and not self._quiet:
                say(f"error: {job.handle}: {view['reason']}", err=True)
                self.statuses[job.handle] = 1
        self.open = [handle for handle in self.open if handle not in self.statuses]
