"""The system's clock."""

from __future__ import annotations

import time


class SystemClock:
    """ports.Clock over the time module."""

    def now(self) -> float:
        """Epoch seconds."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()
