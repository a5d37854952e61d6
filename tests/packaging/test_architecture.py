"""docs/architecture.md and its drawing say the same, and name every package."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path

import rainbow_agent

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "architecture.md").read_text(encoding="utf-8")
DRAWING = (DOCS / "architecture.svg").read_text(encoding="utf-8")
#: Packages that are there for a release, under names of 0.1.
OLD = {"embedded"}


def words(text: str) -> set[str]:
    return set(re.findall(r"[\w/]+", unescape(text)))


def test_the_drawing_has_every_label_of_the_text() -> None:
    """The picture is drawn; the text beside it is what a reader of the source sees."""
    diagram = PAGE.split("```mermaid\n")[1].split("```")[0]
    labels = re.findall(r'"([^"]+)"', diagram)
    drawn = words(" ".join(re.findall(r">([^<>]+)</text>", DRAWING)))
    assert len(labels) > 15
    for label in labels:
        assert words(label.replace("<br/>", " ")) <= drawn, label


def test_every_package_has_its_line() -> None:
    """In the table of packages."""
    folder = Path(rainbow_agent.__file__).parent
    packages = {path.parent.name for path in folder.glob("*/__init__.py")} - OLD
    table = PAGE.split("## Packages")[1].split("\n## ")[0]
    listed = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.+?) \|", table, re.MULTILINE))))
    assert listed == packages
