"""The time that the program goes by: the system's (a test may have another, fault_injection.py)."""

from __future__ import annotations

import time

from rainbow_agent.runtime.fault_injection import installed


class SystemClock:
    """ports.Clock over the time module."""

    def now(self) -> float:
        """Epoch seconds."""
        hooks = installed()
        return time.time() if hooks is None else hooks.now()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        hooks = installed()
        return time.monotonic() if hooks is None else hooks.monotonic()
