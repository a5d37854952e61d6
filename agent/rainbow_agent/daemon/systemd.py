"""Telling systemd how the service does: sd_notify(3), without libsystemd.

One datagram a message, to the socket that NOTIFY_SOCKET names; a name that begins with `@` is in
the abstract namespace. Without NOTIFY_SOCKET nothing is sent. What is sent is lost silently when
no service manager reads it: that there is none is not an error.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from rainbow_agent.runtime.loops import LoopHealth

log = logging.getLogger(__name__)


class Watchdog:
    """Feeds as long as no loop is stuck.

    Args:
        loop_health: the beats of all loops.
        feed: tells the service manager that all is well.
        every: seconds between two looks: half of what the service manager waits for.
    """

    def __init__(self, loop_health: LoopHealth, feed: Callable[[], None], every: float) -> None:
        self._loop_health = loop_health
        self._feed = feed
        self._every = every
        self._stuck: list[str] = []

    def tick(self) -> None:
        """One look: feed, or say once which loops hang."""
        stuck = self._loop_health.stuck()
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


#: Characters of a STATUS text; systemd shows it on one line.
_MAX_STATUS_CHARS = 400


class Notifier:
    """Notifies systemd (sd_notify). Every method may be called from any thread.

    Args:
        address: of the socket; "" to send nothing.
        watchdog_seconds: within which systemd expects WATCHDOG=1; None for no watchdog.
    """

    def __init__(self, address: str = "", watchdog_seconds: float | None = None) -> None:
        self._address = address
        self.watchdog_seconds = watchdog_seconds if address else None
        self._status = ""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str], pid: int) -> Notifier:
        """As the service manager's variables say: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID.

        Args:
            environ: the environment that the process was started with.
            pid: of this process. A watchdog that was meant for another one is not fed.
        """
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):  # vsock: and the like are not for services
            address = ""
        return cls(address, _watchdog_seconds(environ, pid))

    @property
    def heard(self) -> bool:
        """Whether there is a service manager that listens."""
        return bool(self._address)

    def ready(self) -> None:
        """The service is up."""
        self._send("READY=1")

    def alive(self) -> None:
        """Keep the watchdog quiet."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """The service is about to end."""
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`; sent when it differs from the last one."""
        line = text[:_MAX_STATUS_CHARS]
        if line != self._status:
            self._status = line
            self._send(f"STATUS={line}")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        # A full queue must not block a loop: the next message comes soon.
        flags = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        with suppress(OSError), socket.socket(socket.AF_UNIX, flags) as sock:
            sock.sendto(message.encode(errors="replace"), address)


def _watchdog_seconds(environ: Mapping[str, str], pid: int) -> float | None:
    """See sd_watchdog_enabled(3)."""
    micro, meant_for = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not (micro.isascii() and micro.isdigit() and int(micro) > 0):
        return None
    if meant_for and meant_for != str(pid):
        return None
    return int(micro) / 1e6


def take_from(environ: os._Environ[str]) -> Notifier:
    """A Notifier for this process, whose children no longer inherit its address."""
    notifier = Notifier.from_environ(environ, os.getpid())
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        environ.pop(name, None)
    return notifier
