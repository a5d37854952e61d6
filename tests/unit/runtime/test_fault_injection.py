"""Crash points: armed by two names together, and by nothing else."""

from __future__ import annotations

import re
import signal
from itertools import count, takewhile
from pathlib import Path

import pytest

from rainbow_agent.runtime import fault_injection
from rainbow_agent.runtime.fault_injection import (
    Armed,
    CrashPoint,
    armed,
    held_up,
    hold_folder,
    loop_limit,
    reach,
    reach_if,
)
from support.crash_steps import STEPS, as_markdown

DOC = Path(__file__).parents[3] / "docs" / "architecture.md"


def test_both_names_arm_a_point() -> None:
    """The point is named by one variable and allowed by another."""
    both = {"RAINBOW_TEST_CRASH": "received", "RAINBOW_TEST_CRASH_ALLOWED": "1"}
    assert armed(both) == Armed(CrashPoint.RECEIVED, 1)
    both["RAINBOW_TEST_CRASH"] = "received:3"
    assert armed(both) == Armed(CrashPoint.RECEIVED, 3)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"RAINBOW_TEST_CRASH": "received"},
        {"RAINBOW_TEST_CRASH_ALLOWED": "1"},
        {"RAINBOW_TEST_CRASH": "received", "RAINBOW_TEST_CRASH_ALLOWED": "true"},
        {"RAINBOW_TEST_CRASH": "", "RAINBOW_TEST_CRASH_ALLOWED": "1"},
    ],
)
def test_one_name_alone_arms_nothing(environ: dict[str, str]) -> None:
    """A variable that is there by accident does not arm a point."""
    assert armed(environ) is None


def test_a_point_that_is_not_there_is_an_error() -> None:
    """A test that misspells its point does not pass by never crashing."""
    with pytest.raises(ValueError, match="recieved"):
        armed({"RAINBOW_TEST_CRASH": "recieved", "RAINBOW_TEST_CRASH_ALLOWED": "1"})


@pytest.mark.parametrize("point", CrashPoint)
def test_points_that_are_not_armed_do_nothing(point: CrashPoint) -> None:
    """This process, which nobody armed, survives every point."""
    reach(point)
    reach_if(point, lambda: True)


def test_a_point_is_met_the_time_that_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither before it nor at other points; where a look is taken, only if it is the moment."""
    died: list[int] = []
    monkeypatch.setattr("os.kill", lambda pid, number: died.append(number))
    monkeypatch.setattr(fault_injection, "_ARMED", Armed(CrashPoint.SENT, 3))
    monkeypatch.setattr(fault_injection, "_POINT", CrashPoint.SENT)
    monkeypatch.setattr(fault_injection, "_reached", count(1))
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


def test_loops_are_held_up_in_tests_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder and the limit count only together with what allows them."""
    allowed = {"RAINBOW_TEST_CRASH_ALLOWED": "1"}
    assert hold_folder({"RAINBOW_TEST_HOLD": "/hold"}) is None
    assert hold_folder({"RAINBOW_TEST_HOLD": "/hold", **allowed}) == Path("/hold")
    held_up("main")  # nobody holds it
    monkeypatch.setenv("RAINBOW_TEST_LOOP_LIMIT", "2")
    assert loop_limit() is None
    monkeypatch.setenv("RAINBOW_TEST_CRASH_ALLOWED", "1")
    assert loop_limit() == 2.0
