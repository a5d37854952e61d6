"""docs/operations.md has every word of `status`; a condition has advice."""

from __future__ import annotations

from pathlib import Path

from rainbow_agent.monitoring.condition_advice import advice_for
from rainbow_agent.monitoring.status import WORDS
from rainbow_agent.runtime.conditions import ConditionName, loop_stuck

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_word_has_its_line() -> None:
    """With what it means, in the same words."""
    for word, means in WORDS.items():
        assert f"| {word} | {means} |" in PAGE


def test_every_condition_has_advice() -> None:
    """Also a loop that is stuck, whichever it is."""
    names = [name.value for name in ConditionName] + [loop_stuck("inbox")]
    assert [name for name in names if not advice_for(name)] == []


def test_a_condition_of_another_version_has_no_advice() -> None:
    """It is shown with its reason alone."""
    assert advice_for("from-a-later-version") is None
