"""What is wrong now: each thing once, with its reason and since when."""

from __future__ import annotations

from rainbow_agent.runtime.conditions import Condition, Conditions
from support.common import FakeClock


def test_trouble_keeps_its_first_time_and_its_last_reason() -> None:
    """Seen again, it is the same trouble."""
    clock = FakeClock()
    conditions = Conditions(clock)
    since = clock.now()
    assert conditions.set("disk", "2 % free")
    clock.advance(60.0)
    assert not conditions.set("disk", "1 % free")
    assert conditions.current() == [Condition("disk", "1 % free", since)]


def test_what_is_over_is_gone() -> None:
    """And trouble that comes back begins anew."""
    clock = FakeClock()
    conditions = Conditions(clock)
    conditions.set("disk", "full")
    assert conditions.clear("disk")
    assert not conditions.clear("disk")
    assert conditions.current() == []
    clock.advance(1.0)
    conditions.set("disk", "full")
    assert conditions.current()[0].since == clock.now()


def test_the_oldest_comes_first() -> None:
    """Whatever their names are."""
    clock = FakeClock()
    conditions = Conditions(clock)
    conditions.set("zeta", "first")
    clock.advance(1.0)
    conditions.set("alpha", "second")
    assert [c.name for c in conditions.current()] == ["zeta", "alpha"]
