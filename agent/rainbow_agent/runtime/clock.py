"""The time that the program goes by: the system's, unless a test bends it.

`RAINBOW_TEST_CLOCK=<file>`: the file has the seconds by which the wall clock is wrong; it is read
at each look, so that a test can set the clock while the program runs.
`RAINBOW_TEST_HASTE=<rate>@<epoch seconds>`: since that moment time goes so many times as fast, and
the waits of loops are as much shorter.
Both only together with `RAINBOW_TEST_CRASH_ALLOWED=1`, as in runtime/fault_injection.py. They are
the same for every process that gets them, so that times can be compared.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from rainbow_agent.runtime import fault_injection


class SystemClock:
    """ports.Clock over the time module; a test can bend it (see above)."""

    def now(self) -> float:
        """Epoch seconds."""
        return now()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return monotonic()


CLOCK: Final = "RAINBOW_TEST_CLOCK"
HASTE: Final = "RAINBOW_TEST_HASTE"
#: What a process needs to go by the same time.
NAMES: Final = (fault_injection.ALLOWED, CLOCK, HASTE)


class Haste(NamedTuple):
    """How fast time goes, and since when."""

    rate: float = 1.0
    since: float = 0.0  # epoch seconds of the system's clock


def haste_of(environ: Mapping[str, str]) -> Haste:
    """What a test asks for; the system's own pace in every process that is no test's."""
    text = environ.get(HASTE)
    if not text or not fault_injection.allowed(environ):
        return Haste()
    rate, _, since = text.partition("@")
    return Haste(float(rate), float(since))


def step_file(environ: Mapping[str, str]) -> Path | None:
    """Where it says by how much the wall clock is wrong; None where no test says so."""
    path = environ.get(CLOCK)
    return Path(path) if path and fault_injection.allowed(environ) else None


_HASTE: Final = haste_of(os.environ)
_STEP: Final = step_file(os.environ)


def now() -> float:
    """Epoch seconds."""
    return time.time() + _gained() + _step()


def monotonic() -> float:
    """Seconds that never go back."""
    return time.monotonic() + _gained()


def real(seconds: float) -> float:
    """How long to wait, by the system's clock, for so many seconds to pass."""
    return seconds / _HASTE.rate


def _gained() -> float:
    if _HASTE.rate == 1.0:
        return 0.0
    return (time.time() - _HASTE.since) * (_HASTE.rate - 1.0)


def _step() -> float:
    if _STEP is None:
        return 0.0
    try:
        return float(_STEP.read_text())
    except (OSError, ValueError):  # being written
        return 0.0
