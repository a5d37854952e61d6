"""The watchdog is fed while every loop moves, and only then."""

from __future__ import annotations

import logging
import threading

import pytest

from rainbow_agent.daemon.systemd import Watchdog
from rainbow_agent.runtime.loops import LoopHealth
from support.common import FakeClock, eventually


def test_fed_only_while_every_loop_moves(caplog: pytest.LogCaptureFixture) -> None:
    """One loop that hangs stops the feeding, is named once, and is forgiven when it moves."""
    clock, fed = FakeClock(), 0

    def feed() -> None:
        nonlocal fed
        fed += 1

    loop_health = LoopHealth(clock)
    beats = {name: loop_health.loop(name, 10.0) for name in ("main", "journal")}
    watchdog = Watchdog(loop_health, feed, every=5.0)
    watchdog.tick()
    assert fed == 1
    clock.advance(11.0)
    beats["main"]()
    with caplog.at_level(logging.ERROR):
        watchdog.tick()
        watchdog.tick()
    assert fed == 1
    assert [r.getMessage() for r in caplog.records] == [
        "These loops hang: journal; the service manager's watchdog is not fed"
    ]
    beats["journal"]()
    watchdog.tick()
    assert fed == 2


def test_a_thread_feeds_until_the_end() -> None:
    """It is fed at once and again and again within the block, and no more after it."""
    fed = threading.Semaphore(0)
    count = 0

    def feed() -> None:
        nonlocal count
        count += 1
        fed.release()

    with Watchdog(LoopHealth(FakeClock()), feed, every=0.001).watching():
        for _ in range(3):
            assert fed.acquire(timeout=20.0)
    before = count
    eventually(lambda: not any(t.name == "watchdog" for t in threading.enumerate()), "it ended")
    assert count == before
