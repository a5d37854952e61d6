"""Whether the state folder's file system has space for what must not be lost."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from rainbow_agent.runtime.conditions import ConditionName, Conditions

_MIB: Final = 2**20
#: Bytes under which it is said; a tenth of a file system that is smaller than ten times
#: that.
LOW_BYTES: Final = 256 * _MIB


@dataclass(frozen=True)
class Space:
    """Space on a file system, in bytes, as this user may use it."""

    free: int
    total: int

    @property
    def low(self) -> int:
        """Under so much it is nearly full."""
        return min(LOW_BYTES, self.total // 10)

    @property
    def nearly_full(self) -> bool:
        """Whether there is little space left."""
        return self.free < self.low


def space(path: Path) -> Space:
    """The file system of this path; what is free is what users other than root may use.

    Raises:
        OSError: it cannot be looked at.
    """
    found = psutil.disk_usage(str(path))
    return Space(found.free, found.total)


class DiskWatch:
    """Keeps the condition true."""

    def __init__(self, folder: Path, conditions: Conditions) -> None:
        self._folder = folder
        self._conditions = conditions

    def look(self) -> None:
        """Look once; takes microseconds."""
        try:
            found = space(self._folder)
        except OSError as exc:
            self._conditions.set(
                ConditionName.DISK_NEARLY_FULL,
                f"{self._folder} cannot be looked at: {exc.strerror}; is it mounted?",
            )
            return
        if found.nearly_full:
            self._conditions.set(
                ConditionName.DISK_NEARLY_FULL,
                f"{found.free // _MIB} MiB are free where {self._folder} is: free some, or what is"
                " received can soon not be written down",
            )
        else:
            self._conditions.clear(ConditionName.DISK_NEARLY_FULL)
