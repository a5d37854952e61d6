"""A daemon at rest gives back the memory that work needed, and does not look for more each time."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Iterator

import pytest

from rainbow_agent.runtime.memory import RELEASE_INTERVAL_S, MemoryRelease
from support.common import FakeClock

#: Frees a piece of 24 MiB, then another one with a small piece above it in the heap.
_TWICE_LARGE = """
from rainbow_agent.runtime.memory import keep_small

def rss():
    found = (line for line in open("/proc/self/status") if line.startswith("VmRSS:"))
    return int(next(found).split()[1])

keep_small()
before = rss()
for _ in range(2):
    large = bytearray(b"x") * (24 * 2**20)
    above = [bytes(2000) for _ in range(100)]
    del large
print(before, rss())
"""


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


def test_malloc_gives_large_pieces_back_at_once() -> None:
    """Also the second time: its own limit would have grown to their size by then."""
    done = subprocess.run(
        [sys.executable, "-c", _TWICE_LARGE], capture_output=True, text=True, check=True
    )
    before, after = map(int, done.stdout.split())
    assert after - before < 8 * 1024, "KiB"
