"""A figure that was measured, its goal, and the table of them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any


class Verdict(str, Enum):
    """How a figure stands to its goal."""

    MET = "met"
    MISSED = "MISSED"
    NO_GOAL = ""  # it stands beside one that has a goal


@dataclass(frozen=True)
class Figure:
    """One measured value: the middle of `values`, which are all that was seen."""

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_least: bool = False  # the goal is a floor; otherwise a ceiling
    values: tuple[float, ...] = ()
    others: float | None = None  # the share of the machine that others used then, 0 to 1
    load: float | None = None  # load average over a minute
    note: str = ""

    @property
    def verdict(self) -> Verdict:
        """Whether the goal is met."""
        if self.goal is None:
            return Verdict.NO_GOAL
        met = self.value >= self.goal if self.at_least else self.value <= self.goal
        return Verdict.MET if met else Verdict.MISSED

    def as_json(self) -> dict[str, Any]:
        """All of it, for a JSON report."""
        return {**asdict(self), "verdict": self.verdict.value}


def table(figures: Sequence[Figure]) -> str:
    """Figures as lines of text, a column each for value, goal, spread and verdict."""
    header = ("FIGURE", "VALUE", "GOAL", "", "SPREAD", "OTHERS", "LOAD", "NOTE")
    rows = [header, *(_row(figure) for figure in figures)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _row(figure: Figure) -> tuple[str, ...]:
    sign = ">=" if figure.at_least else "<="
    goal = "" if figure.goal is None else f"{sign} {short(figure.goal)} {figure.unit}".rstrip()
    spread = f"{short(min(figure.values))} - {short(max(figure.values))}" if figure.values else ""
    return (
        figure.name,
        f"{short(figure.value)} {figure.unit}".rstrip(),
        goal,
        figure.verdict.value,
        spread,
        "" if figure.others is None else f"{figure.others:.0%}",
        "" if figure.load is None else f"{figure.load:.1f}",
        figure.note,
    )


def short(value: float) -> str:
    """Three digits that count, no exponent."""
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3g}"
