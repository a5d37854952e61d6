"""docs/jobspec.md says what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.plan import plan_text

PAGE = (Path(__file__).parents[3] / "docs" / "jobspec.md").read_text()
ROW = re.compile(r"^\| `(?P<written>.+?)` \| (?P<ticks>`+ ?)(?P<answer>.+?) ?`+ \|$", re.MULTILINE)


def examples() -> list[tuple[str, str]]:
    """Each jobspec of the error tables, put into its section's frame, and the answer."""
    found = []
    for section in PAGE.partition("## Errors")[2].split("### ")[1:]:
        frame = re.search(r"```yaml\n(.*?)```", section, re.DOTALL)
        for row in ROW.finditer(section):
            written, answer = (row[part].replace("\\|", "|") for part in ("written", "answer"))
            found.append((frame[1].replace("HERE", written) if frame else written, answer))
    return found


@pytest.mark.parametrize(("written", "answer"), examples())
def test_errors_are_as_documented(written: str, answer: str) -> None:
    """Every row of the error tables gives the answer that stands beside it."""
    with pytest.raises(JobspecError) as caught:
        plan_text(written)
    assert str(caught.value) == answer


def test_every_row_is_tried() -> None:
    """No row of the tables is passed over for how it is written."""
    tables = PAGE.partition("## Errors")[2]
    rows = [line for line in tables.splitlines() if line.startswith("| `")]
    assert len(examples()) == len(rows) > 40


def test_the_example_is_planned() -> None:
    """The example at the top runs as its comments say."""
    example = re.search(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert example is not None
    plan = plan_text(example[1])
    assert [(t.name, t.replicas, t.depends_on) for t in plan.tasks] == [
        ("build", 1, ()),
        ("ior", 4, ("build",)),
    ]
    durations = [t.jobspec["attributes"]["system"]["duration"] for t in plan.tasks]
    assert durations == [1200, 3600]
    assert plan.warnings == ()
