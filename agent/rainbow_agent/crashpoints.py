"""Where a test can have the daemon killed, or one of its loops held up.

docs/architecture.md has the table of what the next start then does. A point is armed by
`RAINBOW_TEST_CRASH=<point>` together with `RAINBOW_TEST_CRASH_ALLOWED=1`; one of them alone does
nothing, and is reported as any other name that is no setting. All are read once, on import.

`RAINBOW_TEST_HOLD=<folder>`, likewise: a loop stands still while a file with its name is there.
`RAINBOW_TEST_LOOP_LIMIT=<seconds>`, likewise: what a turn of any loop may take.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Final

POINT: Final = "RAINBOW_TEST_CRASH"
ALLOWED: Final = "RAINBOW_TEST_CRASH_ALLOWED"
HOLD: Final = "RAINBOW_TEST_HOLD"
LOOP_LIMIT: Final = "RAINBOW_TEST_LOOP_LIMIT"


class CrashPoint(str, Enum):
    """A moment between two steps, in the order of a job's life."""

    REGISTERED = "registered"  # rainbow gave the secret, it is not on disk
    STORED = "stored"  # the secret is on disk, the ledger does not know the registration
    RECEIVED = "received"  # the jobs are in memory, nothing is written
    WRITTEN = "written"  # the jobs are in the ledger, without tasks
    PLANNED = "planned"  # the tasks are pending
    MARKED = "marked"  # the tasks are submitting, the workload manager has heard of none
    SENT = "sent"  # one submission is on its way
    SUBMITTED = "submitted"  # the workload manager took one, its id is not on disk
    RECORDED = "recorded"  # ids are on disk, rainbow was not told
    ACCEPTED = "accepted"  # rainbow was told, the ledger does not know that


def allowed(environ: Mapping[str, str]) -> bool:
    """Whether this process may be killed at a point."""
    return environ.get(ALLOWED) == "1"


def armed(environ: Mapping[str, str]) -> CrashPoint | None:
    """The point that is armed; None in every process that is no test's.

    Raises:
        ValueError: there is no such point.
    """
    point = environ.get(POINT)
    return CrashPoint(point) if point and allowed(environ) else None


def hold_folder(environ: Mapping[str, str]) -> Path | None:
    """Where the files are that hold loops up; None in every process that is no test's."""
    folder = environ.get(HOLD)
    return Path(folder) if folder and allowed(environ) else None


_ARMED: Final = armed(os.environ)
_HOLD: Final = hold_folder(os.environ)


def reach(point: CrashPoint) -> None:
    """Die here, as with a power cut, if the point is armed."""
    if point is _ARMED:
        os.kill(os.getpid(), signal.SIGKILL)


def held_up(loop: str) -> None:
    """Stand still here while a test holds this loop up."""
    if _HOLD is not None:
        while (_HOLD / loop).exists():
            threading.Event().wait(0.05)


def loop_limit() -> float | None:
    """What a turn of any loop may take, in seconds, if a test says so."""
    return (
        float(os.environ[LOOP_LIMIT]) if allowed(os.environ) and LOOP_LIMIT in os.environ else None
    )
