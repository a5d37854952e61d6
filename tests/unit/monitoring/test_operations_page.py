"""docs/operations.md has every word of `status`, every reason and every metric."""

from __future__ import annotations

import re
from pathlib import Path

from rainbow_agent.monitoring.condition_advice import advice_for
from rainbow_agent.monitoring.metric_definitions import METRIC_DEFINITIONS
from rainbow_agent.monitoring.status import WORDS
from rainbow_agent.runtime.conditions import ConditionName, loop_stuck

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_every_word_has_its_line() -> None:
    """With what it means, in the same words."""
    for word, means in WORDS.items():
        assert f"| {word} | {means} |" in PAGE


def test_every_metric_has_its_line() -> None:
    """With the text that is exported."""
    for family in METRIC_DEFINITIONS:
        assert f"| `{family.name}` | {family.text} |" in PAGE


def test_every_condition_has_its_line() -> None:
    """With what it means and what to do, as `status` says it; the page has no other."""
    meanings = {name.value: name.meaning for name in ConditionName}
    meanings[loop_stuck("NAME")] = "a loop of the daemon has not moved within its limit"
    table = PAGE.split("| name | means | to do |")[1].split("\n\n")[0]
    table = re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", table)
    lines = re.findall(r"^\| `([\w-]+)` \| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE)
    assert {name: (means, to_do) for name, means, to_do in lines} == {
        name: (means, advice_for(name)) for name, means in meanings.items()
    }


def test_a_condition_of_another_version_has_no_advice() -> None:
    """It is shown with its reason alone."""
    assert advice_for("from-a-later-version") is None
