"""A change counts when it is quiet, and at the latest after a while."""

from __future__ import annotations

import pytest

from rainbow_agent.runtime.debounce import Debounce
from support.common import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settle(clock: FakeClock) -> Debounce:
    return Debounce(clock, quiet=2.0, max_delay=30.0)


def test_without_a_change_nothing_is_due(settle: Debounce, clock: FakeClock) -> None:
    """However long one waits."""
    clock.advance(1000)
    assert not settle.due()
    assert settle.left() == float("inf")


def test_a_change_is_due_after_the_quiet(settle: Debounce, clock: FakeClock) -> None:
    """Not before, and each further change starts the quiet again."""
    settle.touch()
    clock.advance(1.5)
    settle.touch()
    clock.advance(1.5)
    assert not settle.due()
    assert settle.left() == pytest.approx(0.5)
    clock.advance(0.5)
    assert settle.due()


def test_what_never_becomes_quiet_is_due_all_the_same(settle: Debounce, clock: FakeClock) -> None:
    """A package manager that writes every second for an hour is heard of."""
    for _ in range(30):
        settle.touch()
        assert not settle.due()
        clock.advance(1)
    assert settle.due()


def test_acted_on_it_begins_anew(settle: Debounce, clock: FakeClock) -> None:
    """The next change has its own quiet."""
    settle.touch()
    clock.advance(2)
    settle.reset()
    assert not settle.due()
    settle.touch()
    assert settle.left() == pytest.approx(2.0)
