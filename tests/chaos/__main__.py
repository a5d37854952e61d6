"""`python -m chaos --seed N --minutes M --parts embedded|real`: a storm, and its figures.

Exits with status 1 if a job was lost or ran twice, or something else is not as promised, and with
status 2 if the parts are not there.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from chaos.figures import final_block, progress_line
from chaos.jobs import Book
from chaos.parts import Parts, wait_for_registration
from chaos.sender import Sender
from chaos.strikes import KINDS, Storm
from chaos.verdict import Verdict, judge
from support.servers import SchedulerKind
from support.site import missing_parts

STRIKE_PAUSE_S: Final = (0.2, 4.0)
PROGRESS_EVERY_S: Final = 60.0
#: After the storm: how long without any job coming to its end until it is given up, and in all.
SETTLE_STILL_S: Final = 180.0
SETTLE_S: Final = 1800.0


def main() -> int:
    """The program; its exit status."""
    arguments = _arguments()
    real = arguments.parts == "real"
    kind = SchedulerKind.REAL if real else SchedulerKind.EMBEDDED
    if missing := missing_parts(kind, flux=real):
        print(f"chaos: {missing}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: in order
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    print(f"chaos: seed {arguments.seed}, {arguments.minutes:g} minutes, {arguments.parts} parts,"
          f" folder {folder}", flush=True)  # fmt: skip
    good = False
    try:
        good = _run(
            folder, arguments.seed, arguments.minutes * 60, arguments.only or [*KINDS], real=real
        )
    finally:
        if good and not arguments.keep:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"chaos: what was left is in {folder}", flush=True)
    return 0 if good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the same strikes and jobs again")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long it storms")
    parser.add_argument("--parts", choices=["embedded", "real"], default="embedded")
    parser.add_argument("--only", nargs="+", choices=list(KINDS), help="strike in these ways only")
    parser.add_argument("--keep", action="store_true", help="keep the folder, logs and all")
    return parser.parse_args()


def _run(folder: Path, seed: int, seconds: float, kinds: Sequence[str], *, real: bool) -> bool:
    with ExitStack() as stack:
        parts, book = Parts(folder, stack, real=real), Book()
        storm = Storm(parts, book, random.Random(seed), kinds)
        parts.start_agent()
        wait_for_registration(parts)
        begin = time.monotonic()
        with _sending(parts, book, seed) as sender:
            try:
                _blow(storm, sender, begin + seconds)
            except Exception as exc:  # noqa: BLE001 - what was sent until then is judged all the same
                storm.fault(f"the storm broke off: {exc!r}")
        blown = time.monotonic()
        print("chaos: the storm is over; waiting for what is open", flush=True)
        _settle(storm)
        verdict = judge(book, parts.rows(), parts.marks)
        _print(storm, verdict, seed, blown - begin, time.monotonic() - blown)
        return verdict.good and not storm.faults


@contextmanager
def _sending(parts: Parts, book: Book, seed: int) -> Iterator[Sender]:
    sender = Sender(parts, book, random.Random(seed + 1))
    sender.start()
    try:
        yield sender
    finally:
        sender.end()


def _blow(storm: Storm, sender: Sender, until: float) -> None:
    pause = threading.Event()
    printed = begin = time.monotonic()
    while time.monotonic() < until:
        pause.wait(storm.rng.uniform(*STRIKE_PAUSE_S))
        sender.raise_its_fault()
        if storm.notice_end():
            storm.parts.start_agent()
        storm.strike()
        if time.monotonic() - printed >= PROGRESS_EVERY_S:
            printed = time.monotonic()
            print(progress_line(storm, (printed - begin) / 60), flush=True)


def _settle(storm: Storm) -> None:
    """Until all that was accepted is over, or nothing comes to its end any more."""
    parts, pause = storm.parts, threading.Event()
    parts.clock.write_text("0")
    if parts.agent is None or storm.notice_end():
        parts.start_agent()
    begin = changed = time.monotonic()
    last = parts.counts()
    while time.monotonic() - changed < SETTLE_STILL_S and time.monotonic() - begin < SETTLE_S:
        if _is_over(storm):
            break
        pause.wait(1.0)
        if storm.notice_end():
            parts.start_agent()
        if (now := parts.counts()) != last:
            last, changed = now, time.monotonic()
    if parts.agent is not None and (code := parts.agent.stop()):
        storm.fault(f"the agent ended with {code} at the last stop")


def _is_over(storm: Storm) -> bool:
    total, over = storm.parts.counts()
    return total == over and not storm.parts.rows_at_rainbow()


def _print(storm: Storm, verdict: Verdict, seed: int, blown: float, settled: float) -> None:
    for what in ("lost", "twice", "early", "untrue"):
        for line in getattr(verdict, what):
            print(f"{what}: {line}")
    print(final_block(storm, verdict, seed=seed, blown=blown, settled=settled), flush=True)


if __name__ == "__main__":
    sys.exit(main())
