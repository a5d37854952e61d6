"""A daemon at rest gives back the memory that work needed, and does not look for more each time."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from rainbow_agent.daemon.process import RELEASE_INTERVAL_S, MemoryRelease
from support.common import FakeClock


class Cycle:
    """Refers to itself."""

    def __init__(self) -> None:
        self.me = self


def left_behind() -> weakref.ref[Cycle]:
    """What only the collector frees."""
    return weakref.ref(Cycle())


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    """It does not come by itself."""
    gc.disable()
    yield
    gc.enable()


def test_what_work_left_is_freed_at_rest_once() -> None:
    """Not while nothing was done, and not at every turn of a busy day."""
    clock = FakeClock()
    memory = MemoryRelease(clock.monotonic)
    first = left_behind()
    memory.rested()
    assert first() is not None
    memory.worked()
    memory.rested()
    assert first() is None
    second = left_behind()
    memory.worked()
    memory.rested()
    assert second() is not None
    clock.advance(RELEASE_INTERVAL_S)
    memory.rested()
    assert second() is None
