"""Only a test bends the time that the program goes by."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from rainbow_agent.runtime import clock as timewarp
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import unknown_names

_TELL = """
import sys
from rainbow_agent.runtime import clock as timewarp
print(timewarp.now(), timewarp.monotonic(), timewarp.real(600.0))
for line in sys.stdin:
    print(timewarp.now(), flush=True)
"""


def tell(stdin: str = "", **environ: str) -> tuple[float, ...]:
    """Now, monotonic, and how long 600 s take, in a process with this environment."""
    done = subprocess.run(
        [sys.executable, "-c", _TELL],
        env=environ,
        input=stdin,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return tuple(float(word) for word in done.stdout.split())


def test_the_time_is_the_systems() -> None:
    """As it is in every process that no test started."""
    clock = SystemClock()
    assert abs(clock.now() - time.time()) < 5.0
    assert abs(clock.monotonic() - time.monotonic()) < 5.0
    assert timewarp.real(7.0) == 7.0


def test_one_variable_alone_does_nothing(tmp_path: Path) -> None:
    """It takes the permission too, and is reported as a name that is no setting without it."""
    step = tmp_path / "step"
    step.write_text("3600")
    environ = {timewarp.CLOCK: str(step), timewarp.HASTE: f"600@{time.time()}"}
    now, monotonic, waited = tell(**environ)
    assert abs(now - time.time()) < 60.0
    assert abs(monotonic - time.monotonic()) < 60.0
    assert waited == 600.0
    assert len(unknown_names(environ)) == 2
    assert unknown_names({**environ, "RAINBOW_TEST_CRASH_ALLOWED": "1"}) == []


def test_a_clock_that_is_set(tmp_path: Path) -> None:
    """The wall clock follows the file; what never goes back does not."""
    step = tmp_path / "step"
    environ = {timewarp.CLOCK: str(step), "RAINBOW_TEST_CRASH_ALLOWED": "1"}
    for seconds in (0.0, 3600.0, -3600.0):
        step.write_text(str(seconds))
        now, monotonic, _ = tell(**environ)
        assert abs(now - time.time() - seconds) < 60.0
        assert abs(monotonic - time.monotonic()) < 60.0


def test_a_clock_that_is_fast() -> None:
    """Both clocks run ahead by the same, and waits are as much shorter."""
    since = time.time() - 10.0
    now, monotonic, waited = tell(
        **{timewarp.HASTE: f"600@{since}", "RAINBOW_TEST_CRASH_ALLOWED": "1"}
    )
    assert now - time.time() > 10 * 599 - 60
    assert monotonic - time.monotonic() > 10 * 599 - 60
    assert waited == 1.0
