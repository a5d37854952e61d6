"""What one client may cost: a limit for each request, one for connections, threads for probes.

A client that is slow holds its own connection and nothing else. One that is new is let in at the
cost of the one that has made the server wait longest, so that a probe, which says all at once, is
answered however many others hold on (docs/decisions/0095).
"""

from __future__ import annotations

from typing import Any, Final

from waitress.channel import HTTPChannel
from waitress.task import ThreadedTaskDispatcher

from rainbow_agent.runtime.clock import SystemClock

#: Seconds for a whole request, from its first byte (or the connection) to the last of its answer.
REQUEST_LIMIT_S: Final = 30.0
#: ConnectionLimits at one time. The oldest that is not being answered makes way for a new one.
MAX_CONNECTIONS: Final = 100
#: Seconds between looks at who is too slow.
CHECK_INTERVAL_S: Final = 1.0
#: Paths that threads of their own answer.
PROBE_PATHS: Final = frozenset({"/livez", "/readyz"})
PAGE_THREADS: Final = 4
PROBE_THREADS: Final = 2


class HttpConnection(HTTPChannel):  # type: ignore[misc] # waitress ships no types
    """A connection that knows when its present request began (monotonic seconds)."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.began = SystemClock().monotonic()
        super().__init__(*args, **kwargs)

    def received(self, data: bytes) -> bool:
        """More of a request, or the first of one."""
        if self.quiet:
            self.began = SystemClock().monotonic()
        return bool(super().received(data))

    @property
    def quiet(self) -> bool:
        """Whether no request is under way."""
        return self.request is None and not self.requests and not self.total_outbufs_len


class ConnectionLimits:
    """Keeps the limits; it belongs to the thread that runs the loop.

    Args:
        channels: the server's open connections, by file descriptor; it changes all the time.
    """

    def __init__(self, channels: dict[int, HttpConnection]) -> None:
        self._channels = channels
        self._next_check = 0.0

    def enforce(self) -> None:
        """Close what is over a limit; call it at each turn of the loop.

        ConnectionLimits without a request are closed by waitress, after its own limit of silence.
        """
        now = SystemClock().monotonic()
        if now >= self._next_check:
            self._next_check = now + CHECK_INTERVAL_S
            for each in list(self._channels.values()):
                if not each.quiet and now - each.began > REQUEST_LIMIT_S:
                    each.handle_close()
        waiting = sorted(
            (each for each in self._channels.values() if not each.requests),
            key=lambda each: each.began,
        )
        for each in waiting[: max(0, len(self._channels) - MAX_CONNECTIONS)]:
            each.handle_close()


class ThreadPools:
    """Two pools of threads: who asks for a probe never waits for who asks for a page."""

    def __init__(self) -> None:
        self._pages, self._probes = ThreadedTaskDispatcher(), ThreadedTaskDispatcher()
        self._pages.set_thread_count(PAGE_THREADS)
        self._probes.set_thread_count(PROBE_THREADS)

    def add_task(self, connection: HttpConnection) -> None:
        """Answer the first request of a connection; waitress's side."""
        requests = connection.requests
        probe = bool(requests) and getattr(requests[0], "path", "") in PROBE_PATHS
        (self._probes if probe else self._pages).add_task(connection)

    def shutdown(self, cancel_pending: bool = True, timeout: float = 5) -> None:
        """End the threads; answers that are being made get `timeout` seconds."""
        for pool in (self._pages, self._probes):
            pool.shutdown(cancel_pending=cancel_pending, timeout=timeout)
