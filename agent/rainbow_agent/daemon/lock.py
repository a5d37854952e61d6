"""The lock of the state folder, for as long as a with block; waited for while another has it.

The pod that takes the place of another starts while that one is still stopping, and on NFS the lock
of a host that went down is held for another minute and a half.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.ports import StopSignal
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import agent_lock

log = logging.getLogger(__name__)

#: Seconds between two words on whose lock is waited for.
SAY_EVERY_S: Final = 10.0
#: The pause between two tries is this share of the time waited so far, up to so many seconds.
_PAUSE_SHARE: Final = 0.1
_LONGEST_PAUSE_S: Final = 0.5


def lock(settings: Settings, stack: ExitStack, stop: StopSignal) -> float | None:
    """Hold the state folder's lock until the stack ends; wait for it for RAINBOW_LOCK_WAIT.

    Args:
        settings: where the state folder is.
        stack: frees the lock when it ends.
        stop: ends the waiting.

    Returns:
        Since when, epoch seconds, what tells this run from others; None when the stop came first.

    Raises:
        Fatal: a daemon has held it all the time.
        RainbowAgentError: a verb has.
    """
    holder, waiting = agent_lock.this_process(), _LockWait(settings, stop)
    try:
        taken = agent_lock.Lock.take(
            settings.state_dir, holder, wait=settings.lock_wait, pause=waiting.pause
        )
    except RainbowAgentError:
        if stop.is_set():
            log.info(
                "Stopped while waiting for the state folder", extra={"action": "stopped_waiting"}
            )
            return None
        raise
    stack.callback(taken.release)
    waiting.over()
    return holder.since


def lock_for_verb(settings: Settings, stack: ExitStack, verb: str) -> None:
    """Hold the state folder's lock until the stack ends, for a verb that needs it for a moment.

    Raises:
        Fatal: a daemon holds it.
        RainbowAgentError: another verb does.
    """
    taken = agent_lock.Lock.take(settings.state_dir, agent_lock.this_process(verb))
    stack.callback(taken.release)


class _LockWait:
    """Says whose lock is waited for: at once, and every SAY_EVERY_S from then on."""

    def __init__(self, settings: Settings, stop: StopSignal) -> None:
        self._folder: Path = settings.state_dir
        self._limit = settings.lock_wait
        self._stop = stop
        self._say_at = 0.0
        self._waited = 0.0

    def pause(self, waited: float) -> bool:
        """Wait a moment; False after a stop."""
        self._waited = waited
        if waited >= self._say_at:
            self._say_at += SAY_EVERY_S
            log.warning(
                "State folder %s is in use (%s); waiting for it: %.0f s of %g s",
                self._folder,
                agent_lock.who_holds(self._folder),
                waited,
                self._limit,
                extra={"action": "waiting_for_lock", "waited": round(waited, 3)},
            )
        longest = min(_LONGEST_PAUSE_S, waited * _PAUSE_SHARE)
        return not self._stop.wait(max(agent_lock.LOCK_PAUSE_S, longest))

    def over(self) -> None:
        """The lock is ours."""
        if self._say_at:
            log.info(
                "The state folder is free, after %.1f s",
                self._waited,
                extra={"action": "lock_taken"},
            )
