"""Strict reading of YAML mappings: every key is known, every value has the type it should have."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from rainbow_agent.jobspec.words import Spot, key_path, show, suggestion
from rainbow_agent.jobspec.yamlnodes import ListNode, MapNode, Node, ScalarNode

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
            f"{show(text)} is no name; write 1 to {MAX_NAME} printable characters on one line"
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


class Fields:
    """A mapping of which every key is known.

    Args:
        node: what should be the mapping.
        path: its path, for errors.
        known: the keys that it may have.
        hints: for keys that people write and that are not known: what to do instead.

    Raises:
        JobspecError: it is no mapping, or has another key.
    """

    def __init__(
        self, node: Node, path: str, known: Sequence[str], hints: Mapping[str, str] | None = None
    ) -> None:
        self.path = path
        self.at = spot(node, path)
        self._values: dict[str, tuple[Node, str]] = {}
        for key, value, where in as_entries(node, path):
            if key.text not in known:
                hint = (hints or {}).get(key.text) or suggestion(key.text, known)
                raise spot(key, path).error(f"unknown key {show(key.text)}; {hint}")
            if not (isinstance(value, ScalarNode) and value.is_null):
                self._values[key.text] = (value, where)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str) -> tuple[Node, str] | None:
        """A value and its path; None when the key is absent or has no value (`null`)."""
        return self._values.get(key)

    def name(self, key: str) -> str | None:
        """A name, or None."""
        found = self._values.get(key)
        return as_name(*found) if found else None

    def text(self, key: str) -> str | None:
        """A text, or None."""
        found = self._values.get(key)
        return as_text(*found) if found else None

    def count(self, key: str) -> int | None:
        """A whole number from 1, or None."""
        found = self._values.get(key)
        return as_count(*found) if found else None

    def boolean(self, key: str) -> bool | None:
        """`true` or `false`, or None."""
        found = self._values.get(key)
        return as_boolean(*found) if found else None

    def items(self, key: str) -> list[tuple[Node, str]]:
        """A list's items; none when the key is absent."""
        found = self._values.get(key)
        return as_items(*found) if found else []

    def entries(self, key: str) -> Iterator[tuple[ScalarNode, Node, str]]:
        """A mapping's entries; none when the key is absent."""
        found = self._values.get(key)
        return as_entries(*found) if found else iter(())
