"""Strict reading of YAML mappings: every key is known, every value has the type it should have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import ParamSpec, TypeVar

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.composer import ListNode, MapNode, Node, ScalarNode
from rainbow_agent.jobspec.words import Spot, key_path, show, suggestion

T = TypeVar("T")
P = ParamSpec("P")
Item = tuple[Node, str]  # and its path

_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
#: YAML 1.1 and 1.2 agree on these; `yes` and `on` are words.
_BOOLEANS = {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}

#: What rainbow (int32 in its graph) and Flux's job shell (a C int) can count to.
MAX_COUNT = 2**31 - 1
#: Its digits; longer ones are not turned into a number at all.
_DIGITS = len(str(MAX_COUNT))
#: Faults of one text that are looked for.
MAX_FAULTS = 500
#: Characters of a name; Flux and ledgers show them in columns.
MAX_NAME = 255


def spot(node: Node, path: str) -> Spot:
    """Where a node stands."""
    return Spot(path, node.line, node.column)


def kind(node: Node) -> str:
    """What a node is, in words for an error message."""
    if isinstance(node, ListNode):
        return "a list"
    if isinstance(node, MapNode):
        return "a mapping"
    return "empty" if node.is_null else show(node.text)


def as_text(node: Node, path: str) -> str:
    """A scalar's text as written; `yes`, `1.0` and `0x1f` stay what they are.

    Raises:
        JobspecError: it is a collection, or nothing is written there.
    """
    if not isinstance(node, ScalarNode):
        raise spot(node, path).error(f"this is {kind(node)}; write text")
    if node.plain and not node.text:
        raise spot(node, path).error("nothing is written here; write '' for an empty text")
    return node.text


def as_name(node: Node, path: str) -> str:
    """A name: text of 1 to MAX_NAME characters, all of them printable."""
    text = as_text(node, path)
    if not text or len(text) > MAX_NAME or not text.isprintable():
        raise spot(node, path).error(
            f"{show(text)} is not a name; write 1 to {MAX_NAME} printable characters on one line"
        )
    return text


def as_count(node: Node, path: str) -> int:
    """A whole number from 1 to MAX_COUNT, written without quotes."""
    text = node.text if isinstance(node, ScalarNode) and node.plain else ""
    if not _INTEGER.fullmatch(text):
        raise spot(node, path).error(
            f"this is {_quoted_kind(node)}; write a whole number without quotes"
        )
    digits = text.lstrip("+-").lstrip("0")
    if text.startswith("-") or not digits:
        raise spot(node, path).error(f"{show(text)} is below 1; write 1 or more, or leave it out")
    if text.startswith("0"):
        raise spot(node, path).error(
            f"{show(text)} begins with 0, which YAML reads as octal; write {digits[:_DIGITS]}"
        )
    if len(digits) > _DIGITS or int(digits) > MAX_COUNT:
        raise spot(node, path).error(f"{show(text)} is above {MAX_COUNT}, the most that is counted")
    return int(digits)


def as_boolean(node: Node, path: str) -> bool:
    """`true` or `false`, without quotes."""
    text = node.text if isinstance(node, ScalarNode) and node.plain else ""
    if text not in _BOOLEANS:
        raise spot(node, path).error(f"this is {_quoted_kind(node)}; write true or false")
    return _BOOLEANS[text]


def as_items(node: Node, path: str) -> list[tuple[Node, str]]:
    """A list's items with their paths."""
    if not isinstance(node, ListNode):
        raise spot(node, path).error(f"this is {kind(node)}; write a list, even for a single one")
    return [(item, f"{path}[{i}]") for i, item in enumerate(node.items)]


def as_entries(node: Node, path: str) -> Iterator[tuple[ScalarNode, Node, str]]:
    """A mapping's keys and values with their paths, in the order of the file."""
    if not isinstance(node, MapNode):
        raise spot(node, path).error(f"this is {kind(node)}; write a mapping (NAME: ...)")
    for name, (key, value) in node.entries.items():
        yield key, value, key_path(path, name)


def _quoted_kind(node: Node) -> str:
    if isinstance(node, ScalarNode) and not node.plain:
        return f"{show(node.text)} in quotes"
    return kind(node)


class Faults:
    """What is wrong with one text, gathered so that all of it can be reported at once."""

    def __init__(self) -> None:
        self.found: list[JobspecError] = []

    @property
    def enough(self) -> bool:
        """Whether no more is looked at: each fault takes time, and jobspecs come from strangers."""
        return len(self.found) >= MAX_FAULTS

    def attempt(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """What `read` gives; None when it finds a fault, which is kept, or enough is wrong."""
        if self.enough:
            return None
        try:
            return read(*args, **kwargs)
        except JobspecError as exc:
            # Without the traceback, whose frames lead back here: no cycles (docs/decisions/0081).
            self.found += [exc.with_traceback(None), *exc.others]
            return None

    def each(self, items: Iterable[Item], read: Callable[[Node, str, Faults], T]) -> tuple[T, ...]:
        """Every item that can be read at all; each one that cannot is a fault."""
        made = (self.attempt(read, *item, self) for item in items)
        return tuple(value for value in made if value is not None)

    def check(self) -> None:
        """Return when there is none.

        Raises:
            JobspecError: the first by its place, with the others.
        """
        if self.found:
            self.found.sort(key=lambda fault: (fault.line or 0, fault.column or 0))
            self.found[0].others = tuple(self.found[1:])
            raise self.found.pop(0)


class Fields:
    """A mapping of which every key is known.

    A value that is not what it should be is a fault, and then as good as absent.

    Args:
        node: what should be the mapping.
        path: its path, for errors.
        known: the keys that it may have.
        faults: where faults are kept.
        hints: for keys that people write and that are not known: what to do instead.

    Raises:
        JobspecError: it is not a mapping.
    """

    def __init__(
        self,
        node: Node,
        path: str,
        known: Sequence[str],
        faults: Faults,
        hints: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self.at = spot(node, path)
        self.faults = faults
        self._before = len(faults.found)
        self._values: dict[str, Item] = {}
        for key, value, where in as_entries(node, path):
            if key.text not in known:
                hint = (hints or {}).get(key.text) or suggestion(key.text, known)
                error = spot(key, path).error(f"unknown key {show(key.text)}; {hint}")
                faults.found.append(error)
            elif not (isinstance(value, ScalarNode) and value.is_null):
                self._values[key.text] = (value, where)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    @property
    def good(self) -> bool:
        """Whether nothing in it was a fault: what is missing is missing, and not just bad."""
        return len(self.faults.found) == self._before

    def get(self, key: str) -> Item | None:
        """A value and its path; None when the key is absent or has no value (`null`)."""
        return self._values.get(key)

    def read(self, key: str, read: Callable[[Node, str], T]) -> T | None:
        """A value as `read` makes it of a node and its path; None when it is absent or bad."""
        found = self._values.get(key)
        return self.faults.attempt(read, *found) if found else None

    def name(self, key: str) -> str | None:
        """A name, or None."""
        return self.read(key, as_name)

    def text(self, key: str) -> str | None:
        """A text, or None."""
        return self.read(key, as_text)

    def count(self, key: str) -> int | None:
        """A whole number from 1, or None."""
        return self.read(key, as_count)

    def boolean(self, key: str) -> bool | None:
        """`true` or `false`, or None."""
        return self.read(key, as_boolean)

    def items(self, key: str) -> list[Item]:
        """A list's items; none when the key is absent."""
        return self.read(key, as_items) or []

    def entries(self, key: str) -> list[tuple[ScalarNode, Node, str]]:
        """A mapping's entries; none when the key is absent."""
        return self.read(key, lambda *found: list(as_entries(*found))) or []
