"""When the ledger breaks under a daemon that runs: restart in the same process, not too often.

The exit code 42 would keep every supervisor from starting the agent again, and in a MiniCluster the
end of the agent is the end of the instance and of all its jobs. What the next start would repair is
repaired at once instead (docs/decisions/0041).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from rainbow_agent.core.errors import LedgerError, RainbowAgentError
from rainbow_agent.core.ports import Clock
from rainbow_agent.daemon.daemon import Daemon
from rainbow_agent.daemon.status_writer import HEARTBEAT_S, StatusWriter
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop

log = logging.getLogger(__name__)

#: Seconds to wait before a restart, by how many there were within the last RECENT_S.
PAUSES_S: Final = (0.0, 1.0, 5.0, 30.0, 60.0)
RECENT_S: Final = 600.0


class RestartLoop:
    """Runs a daemon, and another one in its place when the ledger broke under it.

    Args:
        build: builds a daemon. Is given the stop that ends it, and what was found to be wrong with
            the ledger (None the first time).
        stop: ends whichever runs.
        telemetry: shared by all of them.
        clock: measures pauses.
        status: writes runtime.json, also while none runs.
    """

    def __init__(
        self,
        build: Callable[[Stop, LedgerError | None], Daemon],
        *,
        stop: Stop,
        telemetry: Telemetry,
        clock: Clock,
        status: StatusWriter,
    ) -> None:
        self._build = build
        self._stop = stop
        self._telemetry = telemetry
        self._clock = clock
        self._status = status
        #: Why the daemon ended; to be read after run().
        self.reason = ""
        self._times: deque[float] = deque(maxlen=len(PAUSES_S))

    def run(self) -> int:
        """Until a stop, or an error that no restart repairs; the exit code.

        Raises:
            Fatal: it cannot start.
        """
        broken: LedgerError | None = None
        while True:
            run = self._stop.child()
            try:
                daemon = self._build(run, broken)
            except LedgerError as exc:
                if broken is None:  # a first start: its caller handles it
                    raise
                broken = exc
            else:
                code, self.reason = daemon.run(), run.reason
                if self._stop.is_set() or not isinstance(run.cause, LedgerError):
                    return code
                if daemon.threads.alive():
                    # It may have the ledger open, which only its end closes for certain.
                    return RainbowAgentError.exit_code
                broken = run.cause
            if self._wait(broken):
                self.reason = self._stop.reason
                return 0

    def _wait(self, broken: LedgerError) -> bool:
        """Wait before the next start; True when a stop was asked for."""
        now = self._clock.monotonic()
        recent = sum(now - at < RECENT_S for at in self._times)
        pause = PAUSES_S[min(recent, len(PAUSES_S) - 1)]
        self._times.append(now)
        log.error(
            "The ledger broke while it was in use; restarting in %g s: %s",
            pause,
            broken,
            extra={"action": "mending", "seconds": pause},
        )
        self._telemetry.loop_health.forget_all()
        loop, end = self._telemetry.loop("main", self._stop), now + pause
        self._telemetry.conditions.set(ConditionName.LEDGER_BROKEN, str(broken))
        while (left := end - self._clock.monotonic()) > 0 and not loop.is_set():
            self._status.write(self._telemetry.facts())
            loop.wait(min(left, HEARTBEAT_S))
        self._telemetry.conditions.clear(ConditionName.LEDGER_BROKEN)
        return self._stop.is_set()
