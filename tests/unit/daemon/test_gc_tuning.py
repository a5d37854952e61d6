"""What stays is left alone, and cycles still go."""

from __future__ import annotations

import subprocess
import sys

_PROGRAM = """
import gc, weakref
from rainbow_agent.daemon import process as collector

class Cycle:
    def __init__(self):
        self.me = self

gc.disable()  # as cli/start.py does
collector.spare()
assert gc.isenabled()
assert gc.get_freeze_count() > 1000, gc.get_freeze_count()
gone = weakref.ref(Cycle())
kept = [[] for _ in range(2 * collector.YOUNG)]
assert gone() is None
"""


def test_cycles_are_still_collected_and_what_was_there_is_frozen() -> None:
    """In a process of its own: the collector is everybody's."""
    subprocess.run([sys.executable, "-c", _PROGRAM], check=True, timeout=60)
