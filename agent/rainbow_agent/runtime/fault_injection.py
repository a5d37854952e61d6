"""The one seam for tests: a process can be killed at a point, held up, or go by another time.

Production never sets it: `install()` does nothing but where the environment has
`RAINBOW_TEST_CRASH_ALLOWED=1`, without which each of these names does nothing either, and is
reported as any other name that is not a setting:

- `RAINBOW_TEST_CRASH=<point>` (`<point>:3`: the third time that it is reached): die there.
- `RAINBOW_TEST_HOLD=<folder>`: a loop stands still while a file with its name is there.
- `RAINBOW_TEST_LOOP_LIMIT=<seconds>`: what a turn of any loop may take.
- `RAINBOW_TEST_CLOCK=<file>`: has the seconds by which the wall clock is wrong; it is read at each
  look, so that a test can set the clock while the program runs.
- `RAINBOW_TEST_HASTE=<rate>@<epoch seconds>`: since that moment time passes so many times as fast,
  and the waits of loops are as much shorter.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from enum import Enum
from itertools import count
from pathlib import Path
from typing import Final

ALLOWED: Final = "RAINBOW_TEST_CRASH_ALLOWED"
POINT: Final = "RAINBOW_TEST_CRASH"
HOLD: Final = "RAINBOW_TEST_HOLD"
LOOP_LIMIT: Final = "RAINBOW_TEST_LOOP_LIMIT"
CLOCK: Final = "RAINBOW_TEST_CLOCK"
HASTE: Final = "RAINBOW_TEST_HASTE"
#: All of them.
NAMES: Final = (ALLOWED, POINT, HOLD, LOOP_LIMIT, CLOCK, HASTE)
#: What a child process needs to go by the same time.
CLOCK_NAMES: Final = (ALLOWED, CLOCK, HASTE)
#: Seconds between looks at whether a loop is still held up.
_POLL_INTERVAL_S: Final = 0.05


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
    RECORDED = "recorded"  # ids are on disk, not yet accepted in rainbow
    ACCEPTED = "accepted"  # rainbow has the AcceptJobs, the ledger does not know
    LET_GO = "let-go"  # the ledger knows that
    # Its tasks, as the workload manager's journal tells of them.
    START_HEARD = "start-heard"  # that a task started is read, not written
    START_NOTED = "start-noted"  # it is written
    END_HEARD = "end-heard"  # that a task ended is read, not written
    END_NOTED = "end-noted"  # it is written, rainbow does not know
    # What becomes of it, reported to rainbow.
    REPORT_MADE = "report-made"  # a report with the job's end is made, not sent
    REPORTED = "reported"  # rainbow took it, the ledger does not know
    REPORT_NOTED = "report-noted"  # the ledger knows it: the last step of a job
    # Its sender gets a message, if it has a handle.
    NEWS_MADE = "news-made"  # a message with its state is made, not sent
    NEWS_TOLD = "news-told"  # rainbow has it in the inbox's list, the ledger does not know
    NEWS_NOTED = "news-noted"  # the ledger knows it
    # Its sender asks for something.
    ASKED = "asked"  # that is in the ledger, and still in rainbow's list
    ASKED_DONE = "asked-done"  # it is carried out, or dropped, in the ledger
    ANSWERED = "answered"  # rainbow has the answer in the inbox's list, the ledger does not know
    # What a start does first.
    HISTORY_READ = "history-read"  # the journal's history is read, nothing of it is written
    HISTORY_WRITTEN = "history-written"  # it is written; what it does not have is not sorted out
    SORTING = "sorting"  # that is decided, within the transaction
    SORTED = "sorted"  # and committed; nothing is submitted again
    RECOVERED = "recovered"  # what the workload manager does not have is pending again
    # A job is to be canceled.
    # It is on disk, written by the process of `rainbow-agent cancel`.
    CANCEL_REQUESTED = "cancel-requested"
    WITHDRAWN = "withdrawn"  # what was pending is canceled, the rest is still there
    CANCEL_SENT = "cancel-sent"  # the workload manager has the request, nothing is written
    CANCELED = "canceled"  # the job is over, the request still open
    STOP_CANCELED = "stop-canceled"  # RAINBOW_ON_STOP=cancel: as cancel-sent, without a request


class Hooks:
    """What a test wants of this process.

    Args:
        environ: this process's environment, which allows it.

    Raises:
        ValueError: there is no such point, or something is not a number.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        point, _, nth = environ.get(POINT, "").partition(":")
        self._point = CrashPoint(point) if point else None
        self._nth = int(nth or 1)
        self._reached = count(1)
        self._hold = Path(environ[HOLD]) if environ.get(HOLD) else None
        self._step = Path(environ[CLOCK]) if environ.get(CLOCK) else None
        rate, _, since = environ.get(HASTE, "1@0").partition("@")
        self._rate, self._since = float(rate), float(since)
        #: Seconds that a turn of any loop may take; None: its own limit.
        self.loop_limit = float(environ[LOOP_LIMIT]) if environ.get(LOOP_LIMIT) else None

    def reach(self, point: CrashPoint) -> None:
        """Die here, as with a power cut, if this is the point and the time."""
        if point is self._point and next(self._reached) == self._nth:
            os.kill(os.getpid(), signal.SIGKILL)

    def awaits(self, point: CrashPoint) -> bool:
        """Whether this is the point."""
        return point is self._point

    def hold_up(self, loop: str) -> None:
        """Stand still while a test holds this loop up."""
        while self._hold is not None and (self._hold / loop).exists():
            threading.Event().wait(_POLL_INTERVAL_S)

    def now(self) -> float:
        """Epoch seconds, as the test has them."""
        return time.time() + self._gained() + self._wrong_by()

    def monotonic(self) -> float:
        """Seconds that never go back, at the pace of the test."""
        return time.monotonic() + self._gained()

    def scaled(self, seconds: float) -> float:
        """How long to wait, by the system's clock, for so many seconds to pass."""
        return seconds / self._rate

    def _gained(self) -> float:
        return (time.time() - self._since) * (self._rate - 1.0)

    def _wrong_by(self) -> float:
        if self._step is None:
            return 0.0
        try:
            return float(self._step.read_text())
        except (OSError, ValueError):  # being written
            return 0.0


_installed: Hooks | None = None


def allowed(environ: Mapping[str, str]) -> bool:
    """Whether a test started this process and may do with it what it wants."""
    return environ.get(ALLOWED) == "1"


def install(environ: Mapping[str, str]) -> None:
    """Called once by each program's entry; no hooks in every process that no test started."""
    global _installed  # noqa: PLW0603 - the one place, see the top of this file
    _installed = Hooks(environ) if allowed(environ) else None


def installed() -> Hooks | None:
    """What a test wants; None in production."""
    return _installed


def reach(point: CrashPoint) -> None:
    """A moment at which a test may kill this process."""
    if _installed is not None:
        _installed.reach(point)


def reach_if(point: CrashPoint, holds: Callable[[], object]) -> None:
    """reach(), where it takes a look to say whether this is the moment."""
    if _installed is not None and _installed.awaits(point) and holds():
        _installed.reach(point)
