"""The daemon's threads: one that dies stops the daemon, and says of what."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.runtime.stop import JOIN_SHARE, Stop

log = logging.getLogger(__name__)


def stop_because_of(stop: Stop, exc: RainbowAgentError) -> None:
    """Stop the daemon because of an error of ours; logged once, even if two threads meet it."""
    if str(exc) != stop.reason:  # two threads may meet the same wall
        log.critical("%s", exc, extra={"action": "fatal"})
    stop.set(str(exc), exc.exit_code, exc)


class Threads:
    """Started by the main loop, ended by the stop.

    Args:
        stop: is set when one of them dies.
    """

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._all: list[threading.Thread] = []

    def start(self, name: str, target: Callable[[], None]) -> None:
        """Run this in a thread of its own.

        Raises:
            RainbowAgentError: there is no memory for it, or no more may be started.
        """
        thread = threading.Thread(target=self._run, args=(name, target), name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            raise RainbowAgentError(
                f"the {name} thread cannot be started: {exc}; see the limits of memory and of"
                " processes (`ulimit -v`, `ulimit -u`, pids.max of the cgroup)"
            ) from exc
        self._all.append(thread)

    def join(self, beat: Callable[[], None] = lambda: None) -> None:
        """Wait for their end, for their share of the grace time; `beat` says that we move."""
        for thread in self._all:
            beat()
            thread.join(timeout=min(max(0.1, self._stop.left(JOIN_SHARE)), threading.TIMEOUT_MAX))
            if thread.is_alive():
                log.error("The %s thread did not end", thread.name)

    def alive(self) -> bool:
        """Whether any of them still runs."""
        return any(thread.is_alive() for thread in self._all)

    def _run(self, name: str, target: Callable[[], None]) -> None:
        _show_name(name)
        try:
            target()
        except RainbowAgentError as exc:
            stop_because_of(self._stop, exc)
        except Exception as exc:  # whatever it was: a daemon without this thread would be half one
            log.critical("The %s thread died: %s", name, exc, exc_info=True)
            self._stop.set(f"the {name} thread died: {exc}", 1)


def _show_name(name: str) -> None:
    """Have the kernel call this thread so too, for `top -H` and profilers."""
    with suppress(OSError):
        Path("/proc/thread-self/comm").write_text(name, encoding="ascii")
