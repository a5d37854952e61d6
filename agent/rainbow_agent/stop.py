"""Signals only set the stop; every wait in the program ends on it."""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """A stop that was asked for, with its reason. Satisfies ports.StopSignal."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._bells: list[threading.Event] = []
        self.reason = ""
        self.exit_code = 0

    def set(self, reason: str, exit_code: int = 0) -> None:
        """Ask everything to stop; the first reason and exit code are kept."""
        if not self._event.is_set():
            self.reason, self.exit_code = reason, exit_code
        self._event.set()
        for bell in self._bells:
            bell.set()

    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self._event.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the stop, at most `timeout` seconds."""
        return self._event.wait(timeout)

    def bell(self) -> threading.Event:
        """An event that others may set to wake one waiter; a stop sets it too."""
        bell = threading.Event()
        self._bells.append(bell)
        if self._event.is_set():
            bell.set()
        return bell


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A Stop that SIGTERM or SIGINT sets; a second signal leaves at once.

    Leaving at once is safe: everything that matters is on disk before it happens
    (docs/architecture.md, "write, submit, accept").
    """
    stop = Stop()
    heard: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        if heard or stop.is_set():
            os._exit(128 + number)
        heard.append(number)
        # Not in this thread: it may be inside Event.wait(), holding the lock that set() takes.
        _thread.start_new_thread(stop.set, (f"signal {signal.Signals(number).name}",))

    before = {n: signal.signal(n, handle) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
