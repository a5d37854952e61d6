"""How jobspec errors speak: text that is safe to show, the nearest valid name, short lists."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import NamedTuple

from rainbow_agent.core.errors import JobspecError

#: Longest piece of somebody's text that an error shows, in characters.
SHOWN = 60
#: Names that difflib looks at; it is quadratic, and jobspecs come from strangers.
COMPARED = 1000

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.-]{1,60}")


class Spot(NamedTuple):
    """A place in a jobspec, for error messages."""

    path: str  # for example tasks[1].depends_on[0]; "" is the whole document
    line: int  # from 1
    column: int  # from 1

    def __str__(self) -> str:
        return f"{self.path or 'jobspec'} (line {self.line}, column {self.column})"

    def error(self, what: str) -> JobspecError:
        """An error about this place; `what` says what is wrong and what to write."""
        return JobspecError(f"{self}: {what}", line=self.line, column=self.column)


def error_at(line: int, column: int, what: str) -> JobspecError:
    """An error about a place that has no path yet."""
    return JobspecError(f"line {line}, column {column}: {what}", line=line, column=column)


def show(text: str) -> str:
    """Somebody's text in quotes, cut to SHOWN characters, with nothing a terminal obeys."""
    if len(text) > SHOWN:
        return repr(text[:SHOWN]) + "..."
    return repr(text)


def key_path(path: str, key: str) -> str:
    """The path of a key below `path`; keys that are not plain words come quoted."""
    if not _PLAIN_KEY.fullmatch(key):
        return f"{path}[{show(key)}]"
    return f"{path}.{key}" if path else key


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that `name` was probably meant to be; None when nothing is near."""
    some = [n[:SHOWN] for n, _ in zip(names, range(COMPARED), strict=False)]
    close = difflib.get_close_matches(name[:SHOWN].lower(), some, n=1, cutoff=0.6)
    return close[0] if close else None


def suggestion(name: str, names: Iterable[str]) -> str:
    """What to write in the place of `name`: the nearest of `names`, or which there are."""
    known = list(names)
    near = nearest(name, known)
    if near is not None:
        return f"did you mean {show(near)}?"
    return f"known: {listing(known)}" if known else "there is none"


def listing(names: Iterable[str], limit: int = 8) -> str:
    """Names in quotes with commas; at most `limit`, then how many more."""
    every = list(names)
    text = ", ".join(show(n) for n in every[:limit])
    return f"{text} and {len(every) - limit} more" if len(every) > limit else text
