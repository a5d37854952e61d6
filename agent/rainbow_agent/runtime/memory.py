"""What glibc's malloc keeps of memory that is free, and giving it back; without glibc nothing."""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from typing import Final

_TOP_PAD: Final = -2  # M_TOP_PAD of malloc.h
_MMAP_THRESHOLD: Final = -3  # M_MMAP_THRESHOLD
_ARENA_MAX: Final = -8  # M_ARENA_MAX
#: Bytes of a piece of memory that goes back to the system when it is freed: a burst's replies and
#: reports. sqlite's 88 KiB for the first pages of a transaction are below it, and stay cheap.
_LARGE_BYTES: Final = 96 * 1024
#: Bytes by which the heap grows beyond what is asked for.
_SPARE_BYTES: Final = 16 * 1024
#: Seconds between two times that memory is given back.
RELEASE_INTERVAL_S: Final = 10.0


def keep_small() -> None:
    """Have malloc keep little of what is freed; to be called before other threads are started.

    One heap for all threads, which take turns in Python anyway: each would keep what is freed in
    its own. And pieces that are large are always mapped: malloc raises that limit to 32 MiB by
    itself, the first time that such a piece is freed, and keeps the next ones in its heap. It takes
    them from the end of the heap as well where that has enough, so it is to keep little there.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, 1)
        mallopt(_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_TOP_PAD, _SPARE_BYTES)


def trim() -> None:
    """Give free memory back to the system."""
    release = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if release is not None:
        release(0)


class MemoryRelease:
    """Gives memory back to the system when the work that needed it is done, whoever did it.

    What large jobspecs leave behind is a few cycles, which the collector comes to late, and free
    memory that malloc keeps: 40 rows of 3.5 MB were 500 MiB of a process at rest.

    Args:
        now: a monotonic clock, in seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._owed = False
        self._last = float("-inf")

    def worked(self) -> None:
        """Jobs came in or moved, or old ones went; from any thread."""
        self._owed = True

    def rested(self) -> None:
        """No jobs come in at present; from one thread."""
        if self._owed and self._now() - self._last >= RELEASE_INTERVAL_S:
            self._owed, self._last = False, self._now()
            gc.collect()
            trim()
