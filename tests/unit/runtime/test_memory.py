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

_RSS = """
from rainbow_agent.runtime.memory import keep_small

def rss():
    found = (line for line in open("/proc/self/status") if line.startswith("VmRSS:"))
    return int(next(found).split()[1])
"""
#: Frees a piece of 24 MiB, then another one with a small piece above it in the heap.
_TWICE_LARGE = """
keep_small()
before = rss()
for _ in range(2):
    large = bytearray(b"x") * (24 * 2**20)
    above = [bytes(2000) for _ in range(100)]
    del large
print(before, rss())
"""

#: Frees 32 MiB in pieces of 128 KiB, each with a small piece above it that stays.
_MANY_FREED = """
keep_small()
before = rss()
kept, large = [], []
for _ in range(256):
    large.append(bytearray(b"x") * (128 * 1024))
    kept.append(bytes(2000))
full = rss()
del large
print(before, full, rss())
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
    before, after = run_alone(_TWICE_LARGE)
    assert after - before < 8 * 1024, "KiB"


def test_what_a_burst_of_jobs_frees_goes_back_from_between_what_stays() -> None:
    """Replies and their texts have tens of KiB; in the heap they would leave holes for good."""
    before, full, after = run_alone(_MANY_FREED)
    assert full - before > 32 * 1024, "KiB"
    assert after - before < 4 * 1024, "KiB"


def run_alone(program: str) -> list[int]:
    """The numbers that a program prints, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", _RSS + program], capture_output=True, text=True, check=True
    )
    return [int(word) for word in done.stdout.split()]
