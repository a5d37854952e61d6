"""Crash points: armed by two names together, and by nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from rainbow_agent.crashpoints import (
    CrashPoint,
    armed,
    held_up,
    hold_folder,
    loop_limit,
    reach,
)


def test_both_names_arm_a_point() -> None:
    """The point is named by one variable and allowed by another."""
    both = {"RAINBOW_TEST_CRASH": "received", "RAINBOW_TEST_CRASH_ALLOWED": "1"}
    assert armed(both) is CrashPoint.RECEIVED


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
