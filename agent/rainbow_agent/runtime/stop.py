"""The stop: every wait in the program ends on it, and all of it is over within the grace time.

Signals are taken note of by a thread of their own, through signal.set_wakeup_fd(): a handler in
Python would run only when the main thread is back from whatever C code it waits in, and a broker
that hangs must not make the agent deaf.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

log = logging.getLogger(__name__)

#: How the grace time is shared: each part must be over when so much of it has passed.
FINISH_SHARE = 0.5  # what is half submitted is submitted
CANCEL_SHARE = 0.75  # with RAINBOW_ON_STOP=cancel: jobs are canceled, and said to be
JOIN_SHARE = 0.8  # all threads have ended; the rest is for the last report
#: Seconds that one answer is waited for after a stop at most, and the share of what is left.
_ANSWER_S = 3.0
_ANSWER_SHARE = 0.3
#: Seconds that what is said when leaving in the middle of something may take: some milliseconds,
#: unless the disk or the reader of the log hangs, or the machine is busy.
LEAVE_WITHIN_S = 2.0
#: The signals that ask for a stop.
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """A stop that was asked for, with its reason. Satisfies ports.StopSignal.

    Args:
        grace: seconds from the stop to the end of the program.
    """

    def __init__(self, grace: float = float("inf")) -> None:
        self._event = threading.Event()
        self._wake_events: list[threading.Event] = []
        self._first = threading.Lock()
        self._grace = grace
        self._since: float | None = None
        self._calls: list[Callable[[], None]] = []
        self.reason = ""
        self.exit_code = 0
        #: The error that it was asked for because of, if it was one.
        self.cause: Exception | None = None

    def set(self, reason: str, exit_code: int = 0, cause: Exception | None = None) -> None:
        """Ask everything to stop; the first reason, exit code and cause are kept."""
        with self._first:
            if self._since is None:
                self._since = time.monotonic()
                self.reason, self.exit_code, self.cause = reason, exit_code, cause
        self._event.set()
        for event in self._wake_events:
            event.set()
        for call in self._calls:
            call()

    def child(self) -> Stop:
        """A stop that this one sets too, and that can be asked for without this one."""
        child = Stop(self._grace)
        self.call(lambda: child.set(self.reason, self.exit_code, self.cause))
        return child

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the stop, at most `timeout` seconds."""
        return self._event.wait(timeout)

    def call(self, wake: Callable[[], None]) -> None:
        """Have this called by the stop too, for who waits on no event; from any thread."""
        self._calls.append(wake)
        if self._event.is_set():
            wake()

    def wake_event(self) -> threading.Event:
        """An event that others may set to wake one waiter; a stop sets it too."""
        event = threading.Event()
        self._wake_events.append(event)
        if self._event.is_set():
            event.set()
        return event

    def left(self, share: float = 1.0) -> float:
        """Seconds until a share of the grace time is over; infinity before a stop."""
        if self._since is None:
            return float("inf")
        return self._since + self._grace * share - time.monotonic()


class Deadline:
    """One wait that a stop shortens.

    Args:
        seconds: how long it may take while there is no stop.
        stop: None when there can be none.
        after: seconds that it may take after a stop at most, of what is left then.
    """

    #: Seconds between looks at the stop.
    POLL_INTERVAL_S = 0.1

    def __init__(self, seconds: float, stop: Stop | None, after: float = _ANSWER_S) -> None:
        self._end = time.monotonic() + seconds
        self._stop = stop
        self._after = after
        self.cut = False  # whether a stop has shortened it

    def left(self) -> float:
        """Seconds left; 0 or less when it is over."""
        now = time.monotonic()
        if self._stop is not None and not self.cut and self._stop.is_set():
            self.cut = True
            most = max(self.POLL_INTERVAL_S, self._stop.left() * _ANSWER_SHARE)
            self._end = min(self._end, now + min(self._after, most))
        return self._end - now

    def poll_interval(self) -> float:
        """Seconds until the stop should be looked at again, never below 0."""
        return max(0.0, min(self.left(), self.POLL_INTERVAL_S))


@contextmanager
def stop_on_signals(
    grace: float = float("inf"),
    on_hangup: Callable[[], None] | None = None,
    on_leave: Callable[[int, str], None] = lambda *_: None,
) -> Iterator[Stop]:
    """A Stop that SIGTERM or SIGINT sets; a second signal leaves at once.

    SIGHUP calls `on_hangup`, in a thread of its own; without it, it ends the program as ever.
    `on_leave` is called with the exit status and the reason before the program leaves in the
    middle of something; it is not waited for for long.

    Leaving at once is safe: everything that matters is on disk before it happens
    (docs/architecture.md, "write, submit, accept"). So is what happens when the grace time is
    over and the program is not: it leaves with 1.
    """
    stop = Stop(grace)

    def heard(number: int) -> None:
        if number == signal.SIGHUP and on_hangup is not None:
            on_hangup()
            return
        name = signal.Signals(number).name
        if stop.is_set():
            _leave(128 + number, f"a second signal, {name}, while it was stopping", on_leave)
        stop.set(f"signal {name}")

    numbers = _SIGNALS if on_hangup is None else (*_SIGNALS, signal.SIGHUP)
    with _listening(heard, numbers), _overdue(stop, grace, on_leave):
        yield stop


@contextmanager
def _listening(heard: Callable[[int], None], numbers: Sequence[int]) -> Iterator[None]:
    """Have a thread call `heard` for each of these signals."""
    out, into = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(out, True)

    def listen() -> None:
        while received := os.read(out, 64):
            for number in received:
                if number in numbers:
                    heard(number)
                elif number == 0:
                    return

    def nothing(_number: int, _frame: FrameType | None) -> None:
        """Python's own part of it: the byte in the pipe says all."""

    before = {n: signal.signal(n, nothing) for n in numbers}
    before_fd = signal.set_wakeup_fd(into, warn_on_full_buffer=False)
    thread = threading.Thread(target=listen, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.write(into, b"\0")
        thread.join()
        os.close(into)
        os.close(out)


@contextmanager
def _overdue(stop: Stop, grace: float, on_leave: Callable[[int, str], None]) -> Iterator[None]:
    """Leave when the grace time is over and the with block is not."""
    over = threading.Event()

    def watch() -> None:
        while not (stop.wait(60.0) or over.is_set()):
            pass
        if over.wait(max(0.0, stop.left()) if grace < threading.TIMEOUT_MAX else None):
            return
        _leave(
            stop.exit_code or 1,
            f"the stop took longer than RAINBOW_GRACE ({grace:g} s)",
            on_leave,
        )

    thread = threading.Thread(target=watch, name="grace", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _leave(status: int, reason: str, on_leave: Callable[[int, str], None]) -> NoReturn:
    """Leave now, in the middle of whatever runs."""

    def say() -> None:
        log.critical(
            "Leaving now: %s. Nothing is lost: the next start continues",
            reason,
            extra={"action": "overdue", "status": status},
        )
        on_leave(status, reason)

    # By another thread: the reader of the log, or the disk, may be what hangs.
    saying = threading.Thread(target=say, daemon=True)
    saying.start()
    saying.join(LEAVE_WITHIN_S)
    os._exit(status)
