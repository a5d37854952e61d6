"""What standard output is: a terminal with so many columns and colours, or a pipe that gets all."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import click

from rainbow_agent.monitoring.views import table

#: Columns that running text uses at most; longer lines are harder to read.
MAX_TEXT_WIDTH: Final = 100
_COLOURS: Final = {
    "starting": "yellow",
    "working": "green",
    "idle": "green",
    "draining": "yellow",
    "degraded": "red",
    "stopped": "red",
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "refused": "red",
    "lost": "red",
    "canceled": "yellow",
}
#: ECMA-48: another screen, no cursor, no wrapping; and all of that back.
_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"


def is_terminal() -> bool:
    """Whether people watch, and what is written may steer what they see."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def columns() -> int | None:
    """How wide the terminal is; None for a pipe, which has no width."""
    return _size().columns if is_terminal() else None


def _size() -> os.terminal_size:
    """The terminal's size; 80 columns and 24 lines where it does not say, as a serial console.

    Python 3.10 takes the 0 that such a terminal says for its size.
    """
    found = shutil.get_terminal_size()
    return os.terminal_size((found.columns or 80, found.lines or 24))


def text_columns(piped: int = MAX_TEXT_WIDTH) -> int:
    """How wide running text is: as the terminal, but never wider than is good to read.

    Args:
        piped: how wide it is where there is no terminal.
    """
    return min(columns() or piped, MAX_TEXT_WIDTH)


def wants_colour() -> bool:
    """Whether colour is welcome: on a terminal, unless NO_COLOR (no-color.org) is set."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def paint(state: str) -> str:
    """A state in its colour, bold; as it is where colour is not welcome."""
    word = state.strip()
    if not wants_colour() or word not in _COLOURS:
        return state
    return state.replace(word, click.style(word, fg=_COLOURS[word], bold=True))


def can_draw() -> bool:
    """Whether the terminal or file takes more than ASCII."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")


def fitted(header: list[str], rows: list[list[str]], *, yielding: Sequence[str]) -> str:
    """A table that fits the terminal, with the column STATE in colour; a pipe gets all of it.

    Args:
        header: the columns' names.
        rows: their cells.
        yielding: columns that are cut where there is not enough space, the first to be cut first.
    """
    return table(
        header,
        rows,
        width=columns(),
        yielding=yielding,
        end="…" if can_draw() else "...",
        paint=lambda name, cell: paint(cell) if name == "STATE" else cell,
    )


class Screen:
    """A picture that takes the place of the one before."""

    def __init__(self) -> None:
        self._last = ""

    def show(self, text: str) -> None:
        """Draw a picture; lines that do not fit are not shown."""
        self._last = text
        lines = text.splitlines()[: max(_size().lines - 1, 1)]
        sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        sys.stdout.flush()

    @property
    def last(self) -> str:
        """The picture that was drawn last."""
        return self._last


@contextmanager
def screen() -> Iterator[Screen]:
    """A screen of its own; the last picture stays on the usual one."""
    shown = Screen()
    sys.stdout.write(_ENTER)
    try:
        yield shown
    finally:
        sys.stdout.write(_LEAVE + (f"{shown.last}\n" if shown.last else ""))
        sys.stdout.flush()
