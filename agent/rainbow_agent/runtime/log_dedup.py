"""Trouble that repeats is said once, and then counted.

A filter on the handler: of warnings and errors that say the same again within a while, the first
is shown; the next one after that while says how often it was meanwhile. What is said of a job is
always shown: each job is somebody's.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: Seconds during which the same trouble is counted and not shown.
REPEAT_WINDOW_S: Final = 600.0
#: Different troubles that are remembered; the one that was longest ago is forgotten first.
_REMEMBERED: Final = 200
_NUMBERS: Final = re.compile(r"\d+(\.\d+)?")


@dataclass
class _Trouble:
    since: float  # when it was shown
    record: logging.LogRecord
    hidden: int = 0  # how often it was not, since


class Repeats(logging.Filter):
    """Hides what was just said.

    Args:
        show: takes a record that says how often something was, when it has stopped.
    """

    def __init__(self, show: Callable[[logging.LogRecord], None] = lambda _: None) -> None:
        super().__init__()
        self._show = show
        self._guard = threading.Lock()
        self._troubles: OrderedDict[tuple[str, int, str], _Trouble] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is shown; one that was before says how often."""
        over = self._take_over(record.created)
        for trouble in over:
            if _key(record) != _key(trouble.record):
                self._show(_again(trouble, record.created))
        if record.levelno < logging.WARNING or hasattr(record, "job") or record.exc_info:
            return True
        key = _key(record)
        with self._guard:
            known = self._troubles.get(key)
            if known is not None:
                known.hidden += 1
                return False
            self._troubles[key] = _Trouble(record.created, _plain(record))
            while len(self._troubles) > _REMEMBERED:
                self._troubles.popitem(last=False)
        counted = next((t for t in over if _key(t.record) == key), None)
        if counted is not None:
            record.msg = f"{record.getMessage()}{_count(counted, record.created)}"
            record.args = None
        return True

    def flush(self, now: float) -> None:
        """Say what was counted and not said yet: the program ends."""
        with self._guard:
            left = [trouble for trouble in self._troubles.values() if trouble.hidden]
            self._troubles.clear()
        for trouble in left:
            self._show(_again(trouble, now))

    def _take_over(self, now: float) -> list[_Trouble]:
        """Those whose window is over; the ones that were counted come back."""
        with self._guard:
            over = [
                k for k, trouble in self._troubles.items() if now - trouble.since >= REPEAT_WINDOW_S
            ]
            taken = [self._troubles.pop(key) for key in over]
        return [trouble for trouble in taken if trouble.hidden]


def _key(record: logging.LogRecord) -> tuple[str, int, str]:
    """What makes two records the same trouble: all but the numbers in it."""
    return record.name, record.levelno, _NUMBERS.sub("#", record.getMessage())


def _plain(record: logging.LogRecord) -> logging.LogRecord:
    """A copy to keep: its text, without the objects that it was made of."""
    kept = logging.makeLogRecord(vars(record))
    kept.msg, kept.args = record.getMessage(), None
    return kept


def _again(trouble: _Trouble, now: float) -> logging.LogRecord:
    """The record once more, with how often it was."""
    again = logging.makeLogRecord(vars(trouble.record))
    again.created = now
    again.msg = f"{trouble.record.getMessage()}{_count(trouble, now)}"
    return again


def _count(trouble: _Trouble, now: float) -> str:
    times = "once" if trouble.hidden == 1 else f"{trouble.hidden} times"
    return f" (again, {times} in {max(1.0, (now - trouble.since) / 60):.0f} min)"
