"""What is wrong now: each thing once, with its reason and since when."""

from __future__ import annotations

from rainbow_agent.runtime.conditions import Condition, ConditionName, Conditions
from support.common import FakeClock


def test_trouble_keeps_its_first_time_and_its_last_reason() -> None:
    """Seen again, it is the same trouble."""
    clock = FakeClock()
    conditions = Conditions(clock)
    since = clock.now()
    assert conditions.set(ConditionName.DISK_NEARLY_FULL, "2 % free")
    clock.advance(60.0)
    assert not conditions.set(ConditionName.DISK_NEARLY_FULL, "1 % free")
    assert conditions.current() == [Condition("disk-nearly-full", "1 % free", since)]


def test_what_is_over_is_gone() -> None:
    """And trouble that comes back begins anew."""
    clock = FakeClock()
    conditions = Conditions(clock)
    conditions.set(ConditionName.DISK_NEARLY_FULL, "full")
    assert conditions.clear(ConditionName.DISK_NEARLY_FULL)
    assert not conditions.clear(ConditionName.DISK_NEARLY_FULL)
    assert conditions.current() == []
    clock.advance(1.0)
    conditions.set(ConditionName.DISK_NEARLY_FULL, "full")
    assert conditions.current()[0].since == clock.now()


def test_the_oldest_comes_first() -> None:
    """Whatever their names are."""
    clock = FakeClock()
    conditions = Conditions(clock)
    conditions.set(ConditionName.RAINBOW_REFUSES, "first")
    clock.advance(1.0)
    conditions.set(ConditionName.BLACK_HOLE, "second")
    assert [c.name for c in conditions.current()] == ["rainbow-refuses", "black-hole"]
