"""Whether every loop moves, each within its own limit."""

from __future__ import annotations

from rainbow_agent.runtime.loops import LoopAge, Pulse
from support.common import FakeClock


def test_a_loop_that_moves_is_not_stuck() -> None:
    """Its age starts over at each beat."""
    clock = FakeClock()
    pulse = Pulse(clock)
    beat = pulse.loop("main", 5.0)
    clock.advance(4.0)
    beat()
    clock.advance(4.0)
    assert pulse.ages() == {"main": LoopAge(4.0, 5.0)}
    assert pulse.stuck() == []


def test_a_loop_beyond_its_own_limit_is_stuck() -> None:
    """And only that one is named."""
    clock = FakeClock()
    pulse = Pulse(clock)
    pulse.loop("main", 5.0)
    pulse.loop("reporter", 60.0)
    clock.advance(5.5)
    assert pulse.stuck() == ["main"]


def test_a_loop_that_ended_is_not_waited_for() -> None:
    """A beat that comes late does not bring it back."""
    pulse = Pulse(FakeClock())
    beat = pulse.loop("main", 5.0)
    pulse.forget("main")
    beat()
    assert pulse.ages() == {}
