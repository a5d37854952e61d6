"""A figure that was measured, its goal, and the lines of a table of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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


_HEADER = ("FIGURE", "VALUE", "GOAL", "", "SPREAD", "OTHERS", "LOAD", "NOTE")
#: Of the columns: lines are printed as they are measured, before the widest is known.
_WIDTHS = (66, 12, 14, 6, 15, 6, 5, 0)


def header() -> str:
    """The first line of a table."""
    return _line(_HEADER)


def line(figure: Figure) -> str:
    """A figure as a line, a column each for value, goal, verdict, spread and others."""
    return _line(_row(figure))


def compared(figure: Figure, earlier: Mapping[str, float]) -> Figure:
    """The figure with what it was before in its note; unchanged where it was not measured then.

    Args:
        figure: as it is now.
        earlier: values by the names of figures.
    """
    before = earlier.get(figure.name)
    if not before:
        return figure
    was = f"was {short(before)}: x{figure.value / before:.2f}"
    return replace(figure, note=f"{figure.note}; {was}" if figure.note else was)


def _line(cells: Sequence[str]) -> str:
    pairs = zip(cells, _WIDTHS, strict=True)
    return "  ".join(cell.ljust(width) for cell, width in pairs).rstrip()


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
