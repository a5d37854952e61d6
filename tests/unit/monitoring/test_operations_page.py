"""docs/operations.md has every word of `status`, every reason and every metric."""

from __future__ import annotations

import re
from pathlib import Path

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
    """With what it means, in the same words; the page has no other."""
    meanings = {name.value: name.meaning for name in ConditionName}
    meanings[loop_stuck("NAME")] = "a loop of the daemon has not moved within its limit"
    table = PAGE.split("| name | means | to do |")[1].split("\n\n")[0]
    lines = re.findall(r"^\| `([\w-]+)` \| ([^|]+) \| [^|]+ \|$", table, re.MULTILINE)
    assert dict(lines) == meanings
