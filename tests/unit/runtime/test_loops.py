"""A loop beats by asking whether to stop, and by waiting; the others see whether it does."""

from __future__ import annotations

import threading

from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.loops import MAX_TURN_S, MAX_WAIT_S, Telemetry, moving
from rainbow_agent.runtime.stop import Stop
from support.common import FakeClock


class Waits:
    """A stop signal that lets time pass instead of waiting."""

    def __init__(self, clock: FakeClock, telemetry: Telemetry) -> None:
        self.clock, self.telemetry = clock, telemetry
        self.waited: list[float] = []
        self.stuck: list[str] = []

    def is_set(self) -> bool:
        """Never."""
        return False

    def wait(self, timeout: float | None = None) -> bool:
        """Let it pass."""
        assert timeout is not None
        self.waited.append(timeout)
        self.clock.advance(timeout)
        self.stuck += self.telemetry.loop_health.stuck()
        return False


def test_to_ask_whether_to_stop_is_a_beat() -> None:
    """So every loop that can be stopped beats without further words."""
    clock = FakeClock()
    telemetry = Telemetry(clock)
    loop = telemetry.loop("main", Stop())
    clock.advance(MAX_TURN_S + 1)
    assert telemetry.loop_health.stuck() == ["main"]
    assert not loop.is_set()
    assert telemetry.loop_health.stuck() == []


def test_a_long_wait_is_many_beats() -> None:
    """However long a setting makes it, a thread that waits is not taken for a stuck one."""
    clock = FakeClock()
    telemetry = Telemetry(clock)
    waits = Waits(clock, telemetry)
    assert not telemetry.loop("reporter", waits).wait(3600.0)
    assert sum(waits.waited) == 3600.0
    assert max(waits.waited) <= MAX_WAIT_S
    assert waits.stuck == []


def test_a_short_limit_has_short_slices() -> None:
    """A wait alone never reaches the limit of its loop."""
    clock = FakeClock()
    telemetry = Telemetry(clock, {"main": 2.0})
    waits = Waits(clock, telemetry)
    telemetry.loop("main", waits).wait(10.0)
    assert max(waits.waited) <= 1.0
    assert waits.stuck == []


def test_a_wait_ends_with_the_stop_or_the_bell() -> None:
    """And says so."""
    telemetry, stop = Telemetry(FakeClock()), Stop()
    loop = telemetry.loop("main", stop)
    bell = threading.Event()
    assert not loop.wait_for(bell, 0.0)
    bell.set()
    assert loop.wait_for(bell, 60.0)
    stop.set("the test")
    assert loop.wait(60.0)
    assert loop.wait(None)
    assert loop.is_set()


def test_troubles_are_conditions_and_loops_that_do_not_move() -> None:
    """A stuck loop is wrong since it moved last."""
    clock = FakeClock()
    telemetry = Telemetry(clock)
    telemetry.loop("journal", Stop())
    began = clock.now()
    telemetry.conditions.set(ConditionName.DISK_NEARLY_FULL, "1 MiB is free")
    clock.advance(MAX_TURN_S + 5)
    stuck, disk = telemetry.troubles()
    assert (stuck.name, stuck.since) == ("loop-stuck-journal", began)
    assert "has not moved for 50 s; 45 s are allowed" in stuck.reason
    assert disk.name == "disk-nearly-full"
    assert [c["name"] for c in telemetry.facts()["conditions"]] == [stuck.name, disk.name]
    assert telemetry.facts()["loops"] == {"journal": {"age": 50.0, "limit": 45.0}}
    telemetry.ended("journal")
    assert telemetry.facts()["loops"] == {}


def test_many_calls_in_one_turn_are_many_beats() -> None:
    """Planning thousands of jobs is one turn."""
    beats: list[str] = []
    assert moving(len, lambda: beats.append("beat"))("abc") == 3
    assert beats == ["beat"]
