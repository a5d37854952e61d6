"""When the ledger breaks under a daemon that runs: begin anew in the same process, not too often.

The exit code 42 would keep every supervisor from starting the agent again, and in a MiniCluster the
end of the agent is the end of the instance and of all its jobs. What the next start would heal is
healed at once instead (docs/decisions/0041).
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from rainbow_agent.core.errors import LedgerDamaged, RainbowAgentError
from rainbow_agent.core.ports import Clock
from rainbow_agent.daemon.daemon import HEARTBEAT, Daemon
from rainbow_agent.daemon.parts import Parts
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.loops import Telemetry
from rainbow_agent.runtime.stop import Stop

log = logging.getLogger(__name__)

#: Seconds to wait before beginning anew, by how often it was done within the last while.
PAUSES: Final = (0.0, 1.0, 5.0, 30.0, 60.0)
#: Seconds that count as the last while.
WHILE: Final = 600.0
#: The condition meanwhile.


class RestartLoop:
    """Runs a daemon, and another one in its place when the ledger broke under it.

    Args:
        assemble: puts a daemon together. Is given the stop that ends it, and what was found to be
            wrong with the ledger (None the first time).
        stop: ends whichever runs.
        vitals: shared by all of them.
        clock: measures pauses.
        tell: writes down how we are, for `status`.
    """

    def __init__(
        self,
        assemble: Callable[[Stop, LedgerDamaged | None], Parts],
        *,
        stop: Stop,
        telemetry: Telemetry,
        clock: Clock,
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        self._assemble = assemble
        self._stop = stop
        self._telemetry = telemetry
        self._clock = clock
        self._tell = tell
        self._times: deque[float] = deque(maxlen=len(PAUSES))

    def run(self) -> int:
        """Until a stop, or an error that no new beginning heals; the exit code.

        Raises:
            Fatal: it cannot begin.
        """
        broken: LedgerDamaged | None = None
        while True:
            run = self._stop.child()
            try:
                daemon = Daemon(self._assemble(run, broken))
            except LedgerDamaged as exc:
                if broken is None:  # a first start: whoever started it can see to it
                    raise
                broken = exc
            else:
                code = daemon.run()
                if self._stop.is_set() or not isinstance(run.cause, LedgerDamaged):
                    return code
                if any(thread.is_alive() for thread in daemon.threads):
                    # It may have the ledger open, which only its end closes for certain.
                    return RainbowAgentError.exit_code
                broken = run.cause
            if self._wait(broken):
                return 0

    def _wait(self, broken: LedgerDamaged) -> bool:
        """Wait before the next beginning; True when a stop was asked for."""
        now = self._clock.monotonic()
        recent = sum(now - at < WHILE for at in self._times)
        pause = PAUSES[min(recent, len(PAUSES) - 1)]
        self._times.append(now)
        log.error(
            "The ledger broke while it was in use; beginning anew in %g s: %s",
            pause,
            broken,
            extra={"action": "mending", "seconds": pause},
        )
        self._telemetry.loop_health.forget_all()
        moves, end = self._telemetry.loop("main", self._stop), now + pause
        self._telemetry.conditions.set(ConditionName.LEDGER_BROKEN, str(broken))
        while (left := end - self._clock.monotonic()) > 0 and not moves.is_set():
            self._tell(
                {
                    "heartbeat": self._clock.now(),
                    "registration": None,
                    "rainbow": {},
                    "workload": {},
                    "resources": None,
                    "draining": None,
                    **self._telemetry.facts(),
                }
            )
            moves.wait(min(left, HEARTBEAT))
        self._telemetry.conditions.clear(ConditionName.LEDGER_BROKEN)
        return self._stop.is_set()
