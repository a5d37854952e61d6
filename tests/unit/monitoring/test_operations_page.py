"""docs/operations.md has every word of `status`, every reason and every metric."""

from __future__ import annotations

import re
from pathlib import Path

import rainbow_agent
from rainbow_agent.monitoring.metrics import METRIC_DEFINITIONS
from rainbow_agent.monitoring.status import WORDS

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
SOURCE = Path(rainbow_agent.__file__).parent


def test_every_word_has_its_line() -> None:
    """With what it means, in the same words."""
    for word, means in WORDS.items():
        assert f"| {word} | {means} |" in PAGE


def test_every_metric_has_its_line() -> None:
    """With the text that is exported."""
    for family in METRIC_DEFINITIONS:
        assert f"| `{family.name}` | {family.text} |" in PAGE


def test_every_condition_has_its_line() -> None:
    """Whatever a module gives to Conditions.set as a constant, or makes up as a Condition."""
    names = set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        used = set(re.findall(r"onditions\.set\(\s*([A-Z_]+)", text))
        used |= set(re.findall(r"conditions\.set\(([A-Z_]+) if", text))
        for constant, value in re.findall(
            r"^([A-Z_]+)(?:: Final)? = \"([a-z-]+)\"", text, re.MULTILINE
        ):
            if constant in used:
                names.add(value)
        names |= set(re.findall(r"Condition\(\s*\"([a-z-]+)\"", text))
    assert len(names) > 8
    missing = {name for name in names if f"| `{name}` |" not in PAGE}
    assert missing == set()
