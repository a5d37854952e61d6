"""The time is the system's, in every process that no test started."""

from __future__ import annotations

import time

from rainbow_agent.runtime.clock import SystemClock


def test_the_time_is_the_systems() -> None:
    """Both clocks."""
    clock = SystemClock()
    assert time.time() <= clock.now() <= time.time()
    assert time.monotonic() <= clock.monotonic() <= time.monotonic()
