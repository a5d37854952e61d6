"""Where a test can have the daemon killed, or one of its loops held up.

A point is armed by `RAINBOW_TEST_CRASH=<point>` (`<point>:3`: the third time that it is reached)
together with `RAINBOW_TEST_CRASH_ALLOWED=1`; one of them alone does nothing, and is reported as
any other name that is no setting. All are read once, on import.

`RAINBOW_TEST_HOLD=<folder>`, likewise: a loop stands still while a file with its name is there.
`RAINBOW_TEST_LOOP_LIMIT=<seconds>`, likewise: what a turn of any loop may take.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

POINT: Final = "RAINBOW_TEST_CRASH"
ALLOWED: Final = "RAINBOW_TEST_CRASH_ALLOWED"
HOLD: Final = "RAINBOW_TEST_HOLD"
LOOP_LIMIT: Final = "RAINBOW_TEST_LOOP_LIMIT"


class CrashPoint(str, Enum):
    """A moment between two steps; docs/architecture.md says of each what is on disk."""

    # The membership in the fleet.
    REGISTERED = "registered"  # rainbow gave the secret, it is not on disk
    STORED = "stored"  # the secret is on disk, the ledger does not know the registration
    DEREGISTERED = "deregistered"  # a renewal: rainbow has no row of ours any more
    OPENED = "opened"  # the ledger has a new registration in the place of another
    GRAPH_DROPPED = "graph-dropped"  # rainbow has no graph of ours, the new one is not sent
    # A job, from its receipt to rainbow's letting go of it.
    RECEIVED = "received"  # the jobs are in memory, nothing is written
    WRITTEN = "written"  # the jobs are in the ledger, without tasks
    PLANNED = "planned"  # the tasks are pending
    MARKED = "marked"  # the tasks are submitting, the workload manager has heard of none
    SENT = "sent"  # one submission is on its way
    SUBMITTED = "submitted"  # the workload manager took one, its id is not on disk
    RECORDED = "recorded"  # ids are on disk, rainbow was not told
    ACCEPTED = "accepted"  # rainbow was told, the ledger does not know that
    LET_GO = "let-go"  # the ledger knows that
    # Its tasks, as the workload manager's journal tells of them.
    START_HEARD = "start-heard"  # that a task started is read, not written
    START_NOTED = "start-noted"  # it is written
    END_HEARD = "end-heard"  # that a task ended is read, not written
    END_NOTED = "end-noted"  # it is written, rainbow does not know
    # What becomes of it, told to rainbow.
    REPORT_MADE = "report-made"  # a report with the job's end is made, not sent
    REPORTED = "reported"  # rainbow took it, the ledger does not know
    REPORT_NOTED = "report-noted"  # the ledger knows it: the last step of a job
    # What a start does first.
    HISTORY_READ = "history-read"  # the journal's history is read, nothing of it is written
    HISTORY_WRITTEN = "history-written"  # it is written; what it does not have is not sorted out
    SORTING = "sorting"  # that is decided, within the transaction
    SORTED = "sorted"  # and committed; nothing is submitted again
    RECOVERED = "recovered"  # what the workload manager does not have is pending again
    # Somebody wants a job to end.
    WISHED = "wished"  # the wish is on disk (in the process of `rainbow-agent cancel`)
    WITHDRAWN = "withdrawn"  # what was pending is canceled, the rest goes on
    CANCEL_SENT = "cancel-sent"  # the workload manager was told, nothing is written
    CANCELED = "canceled"  # the job is over, the wish still open
    STOP_CANCELED = "stop-canceled"  # RAINBOW_ON_STOP=cancel: as cancel-sent, without a wish


class Armed(NamedTuple):
    """Where to die."""

    point: CrashPoint
    time: int  # the how many-th time that it is reached, from 1


def allowed(environ: Mapping[str, str]) -> bool:
    """Whether this process may be killed at a point."""
    return environ.get(ALLOWED) == "1"


def armed(environ: Mapping[str, str]) -> Armed | None:
    """The point that is armed; None in every process that is no test's.

    Raises:
        ValueError: there is no such point.
    """
    value = environ.get(POINT)
    if not value or not allowed(environ):
        return None
    point, _, time = value.partition(":")
    return Armed(CrashPoint(point), int(time or 1))


def hold_folder(environ: Mapping[str, str]) -> Path | None:
    """Where the files are that hold loops up; None in every process that is no test's."""
    folder = environ.get(HOLD)
    return Path(folder) if folder and allowed(environ) else None


_ARMED: Final = armed(os.environ)
_POINT: Final = _ARMED.point if _ARMED else None
_HOLD: Final = hold_folder(os.environ)
_reached: Final = count(1)


def reach(point: CrashPoint) -> None:
    """Die here, as with a power cut, if the point is armed."""
    if point is _POINT and _ARMED is not None and next(_reached) == _ARMED.time:
        os.kill(os.getpid(), signal.SIGKILL)


def reach_if(point: CrashPoint, holds: Callable[[], object]) -> None:
    """reach(), where it takes a look to say whether this is the moment."""
    if point is _POINT and holds():
        reach(point)


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
