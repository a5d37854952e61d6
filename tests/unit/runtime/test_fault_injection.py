"""What a test may do with a process that it starts: crash points, held loops, another time."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import pytest

from rainbow_agent.runtime import fault_injection
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.fault_injection import CrashPoint, install, installed, reach, reach_if
from rainbow_agent.runtime.settings import unknown_names
from support.crash_steps import STEPS, as_markdown

DOC = Path(__file__).parents[3] / "docs" / "architecture.md"


ALLOWED = {"RAINBOW_TEST_CRASH_ALLOWED": "1"}


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """No test leaves hooks behind in this process."""
    yield
    install({})


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"RAINBOW_TEST_CRASH": "received"},
        {"RAINBOW_TEST_CRASH": "received", "RAINBOW_TEST_CRASH_ALLOWED": "true"},
        {"RAINBOW_TEST_HOLD": "/hold", "RAINBOW_TEST_LOOP_LIMIT": "2"},
        {"RAINBOW_TEST_CLOCK": "/step", "RAINBOW_TEST_HASTE": "600@0"},
    ],
)
def test_no_hooks_without_permission(environ: dict[str, str]) -> None:
    """A variable that is there by accident does nothing, and is reported as no setting."""
    install(environ)
    assert installed() is None
    assert len(unknown_names(environ)) == len(environ)


def test_a_point_that_is_not_there_is_an_error() -> None:
    """A test that misspells its point does not pass by never crashing."""
    with pytest.raises(ValueError, match="recieved"):
        install({"RAINBOW_TEST_CRASH": "recieved", **ALLOWED})


@pytest.mark.parametrize("point", CrashPoint)
def test_points_that_are_not_armed_do_nothing(point: CrashPoint) -> None:
    """This process, which is not armed, survives every point."""
    reach(point)
    reach_if(point, lambda: True)


def test_a_point_is_met_the_time_that_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither before it nor at other points; where a look is taken, only if it is the moment."""
    died: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, number: died.append(number))
    install({"RAINBOW_TEST_CRASH": "sent:3", **ALLOWED})
    reach(CrashPoint.SENT)
    reach(CrashPoint.SUBMITTED)
    reach_if(CrashPoint.SENT, lambda: False)
    reach_if(CrashPoint.SENT, lambda: True)
    assert died == []
    reach(CrashPoint.SENT)
    assert died == [signal.SIGKILL]


def test_every_point_is_a_step() -> None:
    """The table has each point once, in the order of the points, and says something of each."""
    assert [step.point for step in STEPS] == list(CrashPoint)
    for step in STEPS:
        assert all((step.done, step.on_disk, step.outside, step.next_start)), step


def test_every_point_is_in_the_code() -> None:
    """A point that nothing reaches would be a line of the table without a meaning."""
    folder = Path(fault_injection.__file__).parents[1]
    texts = [
        p.read_text(encoding="utf-8")
        for p in folder.rglob("*.py")
        if p.name != "fault_injection.py"
    ]
    for point in CrashPoint:
        placed = rf"reach(_if)?\(\s*CrashPoint\.{point.name}\b"
        assert any(re.search(placed, text) for text in texts), point


def test_the_page_has_the_table() -> None:
    """docs/architecture.md shows what the data says, line by line, and no step besides."""
    lines = DOC.read_text(encoding="utf-8").splitlines()
    head = lines.index(as_markdown()[0])
    shown = list(takewhile(lambda line: line.startswith("|"), lines[head:]))
    assert shown == as_markdown()


def test_a_loop_is_held_up_and_given_another_limit(tmp_path: Path) -> None:
    """While its file is there; others move."""
    install({"RAINBOW_TEST_HOLD": str(tmp_path), "RAINBOW_TEST_LOOP_LIMIT": "2", **ALLOWED})
    hooks = installed()
    assert hooks is not None
    assert hooks.loop_limit == 2.0
    (tmp_path / "journal").touch()
    hooks.hold_up("main")
    held = threading.Thread(target=hooks.hold_up, args=("journal",))
    held.start()
    assert held.is_alive()
    (tmp_path / "journal").unlink()
    held.join()


def test_a_clock_that_is_set(tmp_path: Path) -> None:
    """The wall clock follows the file; what never goes back does not."""
    step, clock = tmp_path / "step", SystemClock()
    install({"RAINBOW_TEST_CLOCK": str(step), **ALLOWED})
    for seconds in (0.0, 3600.0, -3600.0):
        step.write_text(str(seconds))
        assert abs(clock.now() - time.time() - seconds) < 60.0
        assert abs(clock.monotonic() - time.monotonic()) < 60.0


def test_a_clock_that_is_fast() -> None:
    """Both clocks run ahead by the same, and waits are as much shorter."""
    clock = SystemClock()
    install({"RAINBOW_TEST_HASTE": f"600@{time.time() - 10.0}", **ALLOWED})
    hooks = installed()
    assert hooks is not None
    assert clock.now() - time.time() > 10 * 599 - 60
    assert clock.monotonic() - time.monotonic() > 10 * 599 - 60
    assert hooks.scaled(600.0) == 1.0
