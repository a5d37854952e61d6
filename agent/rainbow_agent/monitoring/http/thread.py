"""The thread that serves; and that keeps trying while its address is not to be had.

The daemon works all the same; that nothing is served is a condition and a line in the log.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

from rainbow_agent.runtime.addresses import Address
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop

log = logging.getLogger(__name__)

#: Seconds between attempts to get it.
RETRY_INTERVAL_S: Final = 5.0


class HttpListener(Protocol):
    """What listens (adapters.http_server)."""

    host: str
    port: int

    def turn(self, timeout: float) -> None:
        """Speak with the sockets that are ready; wait up to `timeout` seconds for one."""

    def wake(self) -> None:
        """End a wait in `turn`; from any thread."""

    def close(self) -> None:
        """Close all sockets."""


class HttpThread:
    """Serves until the stop.

    Args:
        address: where; port 0 for any that is free.
        open_server: listens there; raises OSError while that is not possible.
        telemetry: where the loop beats.
        stop: ends it.
    """

    def __init__(
        self,
        *,
        address: Address,
        open_server: Callable[[Address], HttpListener],
        telemetry: Telemetry,
        stop: Stop,
    ) -> None:
        self._address = address
        self._open_server = open_server
        self._telemetry = telemetry
        self._loop = telemetry.loop("http", stop)
        self._server: HttpListener | None = None
        self._problem = ""
        stop.call(self._wake)

    def run(self) -> None:
        """Serve until the stop."""
        try:
            while not self._loop.is_set():
                if self._server is not None:
                    self._server.turn(self._loop.slice)
                elif not self._listen():
                    self._loop.wait(RETRY_INTERVAL_S)
            self._telemetry.ended("http")
        finally:
            if self._server is not None:
                self._server.close()

    def facts(self) -> dict[str, Any]:
        """The key `http` of runtime.json: the real address, null while there is none."""
        server = self._server
        return {
            "address": str(Address(server.host, server.port)) if server else None,
            "problem": self._problem or None,
        }

    def _listen(self) -> bool:
        try:
            self._server = self._open_server(self._address)
        except OSError as exc:
            problem = (
                f"nothing is served on {self._address}: {exc.strerror or exc}; it is tried again."
                " Another program may have the port: see `ss -ltnp`, or set RAINBOW_HTTP"
            )
            self._telemetry.conditions.set(ConditionName.HTTP_NOT_SERVED, problem)
            self._telemetry.counters.retries.add("http")
            if problem != self._problem:
                log.warning("%s", problem, extra={"action": "http_not_served"})
            self._problem = problem
            return False
        self._problem = ""
        self._telemetry.conditions.clear(ConditionName.HTTP_NOT_SERVED)
        address = Address(self._server.host, self._server.port)
        log.info("Serving http://%s/", address, extra={"action": "http", "address": str(address)})
        return True

    def _wake(self) -> None:
        if self._server is not None:
            self._server.wake()
