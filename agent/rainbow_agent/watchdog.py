"""The service manager's watchdog: fed while every loop moves, and only then.

A thread of its own: one that is blocked must not keep another from saying so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rainbow_agent.pulse import Pulse

log = logging.getLogger(__name__)


class Watchdog:
    """Feeds as long as no loop is stuck.

    Args:
        pulse: the beats of all loops.
        feed: tells the service manager that all is well.
        every: seconds between two looks: half of what the service manager waits for.
    """

    def __init__(self, pulse: Pulse, feed: Callable[[], None], every: float) -> None:
        self._pulse = pulse
        self._feed = feed
        self._every = every
        self._stuck: list[str] = []

    def tick(self) -> None:
        """One look: feed, or say once which loops hang."""
        stuck = self._pulse.stuck()
        if stuck and stuck != self._stuck:
            log.error(
                "These loops hang: %s; the service manager's watchdog is not fed",
                ", ".join(stuck),
                extra={"action": "stuck", "loops": stuck},
            )
        self._stuck = stuck
        if not stuck:
            self._feed()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look again and again for the length of a with block, the end of the program included."""
        over = threading.Event()

        def run() -> None:
            self.tick()
            while not over.wait(self._every):
                self.tick()

        thread = threading.Thread(target=run, name="watchdog", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
