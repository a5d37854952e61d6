"""Whether every loop moves, each within its own limit."""

from __future__ import annotations

from rainbow_agent.runtime.loops import LoopAge, LoopHealth
from support.common import FakeClock


def test_a_loop_that_moves_is_not_stuck() -> None:
    """Its age starts over at each beat."""
    clock = FakeClock()
    loop_health = LoopHealth(clock)
    beat = loop_health.loop("main", 5.0)
    clock.advance(4.0)
    beat()
    clock.advance(4.0)
    assert loop_health.ages() == {"main": LoopAge(4.0, 5.0)}
    assert loop_health.stuck() == []


def test_a_loop_beyond_its_own_limit_is_stuck() -> None:
    """And only that one is named."""
    clock = FakeClock()
    loop_health = LoopHealth(clock)
    loop_health.loop("main", 5.0)
    loop_health.loop("reporter", 60.0)
    clock.advance(5.5)
    assert loop_health.stuck() == ["main"]


def test_a_loop_that_ended_is_not_waited_for() -> None:
    """A beat that comes late does not bring it back."""
    loop_health = LoopHealth(FakeClock())
    beat = loop_health.loop("main", 5.0)
    loop_health.forget("main")
    beat()
    assert loop_health.ages() == {}
