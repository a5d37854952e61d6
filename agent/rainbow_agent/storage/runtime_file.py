"""`runtime.json` in the state folder: what the running agent last said of itself."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.files import replacing

log = logging.getLogger(__name__)

#: What runtime.json's size is a multiple of, in bytes, and what is kept free at its end: on a full
#: disk it can still be written over.
_RUNTIME_BLOCK_BYTES = 4096
_RUNTIME_SPARE_BYTES = 1024


def write_runtime(folder: Path, facts: Mapping[str, Any]) -> None:
    """Replace runtime.json; not flushed to disk, it is only about this run.

    On a full disk the old one is written over, where it is large enough: that needs no space.

    Raises:
        OSError: it cannot be written.
    """
    path, text = folder / "runtime.json", json.dumps(facts)
    text = text.ljust(
        -(-(len(text) + _RUNTIME_SPARE_BYTES) // _RUNTIME_BLOCK_BYTES) * _RUNTIME_BLOCK_BYTES
    )
    try:
        with replacing(path) as file:
            file.write(text)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        with path.open("r+") as file:
            if len(text) > os.fstat(file.fileno()).st_size:
                raise
            file.write(text)


@dataclass(frozen=True)
class End:
    """How a run ended."""

    run: float  # which one: its Holder's `since`
    at: float  # epoch seconds
    status: int  # the exit status
    reason: str


def write_end(folder: Path, end: End) -> None:
    """Keep how this run ended, beside what it said last; a run that was killed leaves nothing.

    Failing to is not an error: the log has it.
    """
    try:
        write_runtime(folder, {**_read_runtime(folder), "ended": vars(end)})
    except OSError as exc:
        log.warning("Cannot write %s/runtime.json: %s", folder, exc)


def end_of(run: float | None, runtime: Mapping[str, Any]) -> End | None:
    """How a run ended; None where it said nothing.

    Args:
        run: the `since` of its Holder.
        runtime: what runtime.json has.
    """
    try:
        ended = runtime["ended"]
        end = End(
            float(ended["run"]), float(ended["at"]), int(ended["status"]), str(ended["reason"])
        )
    except (KeyError, TypeError, ValueError):
        return None
    return end if end.run == run else None


def beat() -> dict[str, Any]:
    """What goes with a heartbeat and tells its age also when the clock is set: this moment.

    By the kernel's monotonic clock, which all processes of one boot share.
    """
    return {"boot": _boot(), "monotonic": SystemClock().monotonic()}


def read_runtime(folder: Path) -> dict[str, Any]:
    """What the agent last said of itself; empty when it never did."""
    return _by_the_clock_of_now(_read_runtime(folder))


def _read_runtime(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / "runtime.json").read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _by_the_clock_of_now(facts: dict[str, Any]) -> dict[str, Any]:
    """The heartbeat as the clock would have it that there is now; it may have been set since."""
    beat, heartbeat = facts.get("beat"), facts.get("heartbeat")
    if not isinstance(beat, dict) or not isinstance(heartbeat, (int, float)):
        return facts
    then = beat.get("monotonic")
    if isinstance(then, (int, float)) and beat.get("boot") == _boot():
        age = max(0.0, SystemClock().monotonic() - then)
        return {**facts, "heartbeat": SystemClock().now() - age}
    return facts


def _boot() -> str:
    """Which boot of the machine this is (random(4)); "" where that cannot be read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
