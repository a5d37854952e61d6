"""Live: every loop moves. Ready: a job can be taken and finished, and if not, why."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from rainbow_agent.core.model import Drain
from rainbow_agent.monitoring.health import MIN_FREE_BYTES, ReadinessFacts, live, ready
from rainbow_agent.runtime.loops import LoopAge

WELL = ReadinessFacts(
    registered=True,
    contact_age=1.0,
    contact_problem="",
    contact_limit=45.0,
    workload_reachable=True,
    workload_problem="",
    workload_age=0.5,
    workload_limit=45.0,
    ledger_problem="",
    free_bytes=10 * MIN_FREE_BYTES,
    draining=None,
    stopping=False,
)


def test_all_well_is_ready() -> None:
    """Every check is there, with its age where it has one."""
    verdict = ready(WELL)
    assert verdict.ok
    assert [c.name for c in verdict.checks] == [
        "registered",
        "rainbow",
        "workload",
        "ledger",
        "disk",
        "open",
    ]
    assert verdict.as_text().startswith("ok\n")
    assert verdict.as_json()["checks"][1]["limit"] == 45.0


@pytest.mark.parametrize(
    ("change", "check", "words"),
    [
        ({"registered": False}, "registered", "not registered with rainbow yet"),
        ({"contact_age": None}, "rainbow", "has not answered yet"),
        (
            {"contact_age": 46.0, "contact_problem": "deadline exceeded"},
            "rainbow",
            "answered 46.0 s ago, at most 45 s are allowed: deadline exceeded",
        ),
        ({"workload_reachable": None}, "workload", "history is being read"),
        (
            {"workload_reachable": False, "workload_problem": "Flux is gone"},
            "workload",
            "Flux is gone",
        ),
        ({"workload_age": 50.0}, "workload", "answered 50.0 s ago, at most 45 s"),
        ({"workload_age": None}, "workload", "has not said yet what is free"),
        ({"ledger_problem": "disk is full"}, "ledger", "disk is full"),
        ({"free_bytes": MIN_FREE_BYTES - 1}, "disk", "free some"),
        ({"free_bytes": None}, "disk", "cannot be looked at"),
        ({"draining": Drain(1.0, "a new kernel")}, "open", "drained (a new kernel)"),
        ({"draining": Drain(1.0)}, "open", "drained: `rainbow-agent resume`"),
        (
            {"draining": Drain(1.0, "a stop", until_stopped=True)},
            "open",
            "drained (a stop): until this daemon has stopped",
        ),
        ({"stopping": True}, "open", "the agent stops"),
    ],
)
def test_each_thing_that_is_missing_is_named(
    change: dict[str, Any], check: str, words: str
) -> None:
    """It alone is wrong, and comes first in the text."""
    verdict = ready(replace(WELL, **change))
    assert not verdict.ok
    assert [c.name for c in verdict.checks if not c.ok] == [check]
    first, second, *_ = verdict.as_text().splitlines()
    assert first == "not ok"
    assert second.startswith(f"WRONG {check}: ")
    assert words in second


def test_a_loop_that_hangs_is_not_live() -> None:
    """It is named with its age and its limit."""
    verdict = live({"main": LoopAge(1.0, 45.0), "journal": LoopAge(46.0, 45.0)})
    assert [(c.name, c.ok) for c in verdict.checks] == [("main", True), ("journal", False)]
    assert "WRONG journal: moved 46.0 s ago, at most 45 s are allowed" in verdict.as_text()
    assert live({"main": LoopAge(1.0, 45.0)}).ok
