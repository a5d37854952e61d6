"""The system's clock."""

from __future__ import annotations

from rainbow_agent import timewarp


class SystemClock:
    """ports.Clock over the time module; a test can bend it (timewarp.py)."""

    def now(self) -> float:
        """Epoch seconds."""
        return timewarp.now()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return timewarp.monotonic()
