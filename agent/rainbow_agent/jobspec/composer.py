"""Builds nodes from YAML events, without recursion and within limits.

PyYAML's own composer recurses, and lets aliases multiply without bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import yaml

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.wire import BINARY_TAG, decode_binary
from rainbow_agent.jobspec.words import error_at, show

_NULLS = frozenset({"", "~", "null", "Null", "NULL"})


@dataclass(slots=True)
class ScalarNode:
    """A scalar as written; `plain` is without quotes, where YAML would guess a type."""

    text: str
    plain: bool
    line: int
    column: int

    @property
    def is_null(self) -> bool:
        """Whether it stands for nothing: empty, `~` or `null`, without quotes."""
        return self.plain and self.text in _NULLS


@dataclass(slots=True)
class ListNode:
    """A sequence."""

    line: int
    column: int
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True)
class MapNode:
    """A mapping with scalar keys, each once; merge keys (`<<`) are resolved."""

    line: int
    column: int
    entries: dict[str, tuple[ScalarNode, Node]] = field(default_factory=dict)


Node = ScalarNode | ListNode | MapNode


#: Nodes in one jobspec, aliases counted as what they stand for: about 20,000 tasks.
MAX_NODES = 250_000
#: Levels of nesting.
MAX_NESTING = 64

_CORE = "tag:yaml.org,2002:"
_PLAIN_TAGS = frozenset(_CORE + t for t in ("int", "float", "bool", "null"))
_TEXT_TAGS = frozenset({"!", _CORE + "str"})
_LIST_TAGS = frozenset({None, "!", _CORE + "seq"})
_MAP_TAGS = frozenset({None, "!", _CORE + "map"})


@dataclass(slots=True)
class _Open:
    """A collection whose end has not come yet."""

    node: ListNode | MapNode
    anchor: str | None
    used: int  # nodes counted when it began
    height: int = 1
    key: ScalarNode | None = None
    merges: list[MapNode] = field(default_factory=list)


@dataclass(slots=True)
class _Anchor:
    """What an alias may stand for."""

    node: Node
    size: int
    height: int


class Composer:
    """Builds the tree from events, in any depth without recursion."""

    def __init__(self) -> None:
        self.root: Node | None = None
        self._open: list[_Open] = []
        self._used = 0
        self._anchors: dict[str, _Anchor | None] = {}  # None: begun, not ended

    def feed(self, events: Iterable[Any]) -> None:
        """Take the parser's events."""
        for event in events:
            handle = self._HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event)

    def _document(self, event: Any) -> None:
        if self.root is not None:
            raise _error(event, "a second document begins here; a jobspec is one document")

    def _scalar(self, event: Any) -> None:
        self._charge(event, 1)
        text, plain = event.value, event.style in (None, "")
        if event.tag is not None:
            text, plain = _tagged(event)
        if "\0" in text:
            raise _error(event, "a NUL character, which no command, name or path can hold")
        if not text.isascii() and _has_surrogate(text):
            raise _error(event, "half of a surrogate pair, which is not text")
        mark = event.start_mark
        node = ScalarNode(text, plain, mark.line + 1, mark.column + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = _Anchor(node, 1, 0)
        self._place(node, 0)

    def _list(self, event: Any) -> None:
        if event.tag not in _LIST_TAGS:
            raise _error(event, f"the tag {show(event.tag)} is not known; leave it out")
        mark = event.start_mark
        self._begin(event, ListNode(mark.line + 1, mark.column + 1))

    def _map(self, event: Any) -> None:
        if event.tag not in _MAP_TAGS:
            raise _error(event, f"the tag {show(event.tag)} is not known; leave it out")
        mark = event.start_mark
        self._begin(event, MapNode(mark.line + 1, mark.column + 1))

    def _begin(self, event: Any, node: ListNode | MapNode) -> None:
        self._open.append(_Open(node, event.anchor, self._used))
        self._charge(event, 1)
        self._check_depth(event, 0)
        if event.anchor is not None:
            self._anchors[event.anchor] = None

    def _end(self, event: Any) -> None:  # noqa: ARG002 - all handlers are called alike
        done = self._open.pop()
        if isinstance(done.node, MapNode):
            for merged in done.merges:
                for name, entry in merged.entries.items():
                    done.node.entries.setdefault(name, entry)
        if done.anchor is not None:
            self._anchors[done.anchor] = _Anchor(done.node, self._used - done.used, done.height)
        self._place(done.node, done.height)

    def _alias(self, event: Any) -> None:
        anchor = self._anchors.get(event.anchor)
        if anchor is None:
            inside = event.anchor in self._anchors
            why = "stands inside what it names" if inside else "names no anchor above it"
            raise _error(event, f"the alias {show('*' + event.anchor)} {why}")
        self._charge(event, anchor.size)
        self._check_depth(event, anchor.height)
        self._place(anchor.node, anchor.height)

    def _charge(self, event: Any, nodes: int) -> None:
        self._used += nodes
        if self._used > MAX_NODES:
            raise _error(
                event,
                f"more than {MAX_NODES:,} values, aliases counted as what they stand for; "
                "split the jobspec",
            )

    def _check_depth(self, event: Any, below: int) -> None:
        if len(self._open) + below > MAX_NESTING:
            raise _error(event, f"nested deeper than {MAX_NESTING} levels")

    def _place(self, node: Node, height: int) -> None:
        if not self._open:
            self.root = node
            return
        top = self._open[-1]
        if height >= top.height:
            top.height = height + 1
        if isinstance(top.node, ListNode):
            top.node.items.append(node)
        elif top.key is not None:
            key, top.key = top.key, None
            if key.text == "<<" and key.plain:
                top.merges += _merged(node)
            else:
                _enter(top.node, key, node)
        elif isinstance(node, ScalarNode):
            top.key = node
        else:
            raise _error_at(node, "a key must be a word, not a list or a mapping")

    #: By the class of an event. Here and not in each composer: bound methods would make cycles,
    #: which keep a jobspec's text until the collector comes.
    _HANDLERS: ClassVar[dict[type, Callable[[Composer, Any], None]]] = {
        yaml.ScalarEvent: _scalar,
        yaml.SequenceStartEvent: _list,
        yaml.MappingStartEvent: _map,
        yaml.SequenceEndEvent: _end,
        yaml.MappingEndEvent: _end,
        yaml.AliasEvent: _alias,
        yaml.DocumentStartEvent: _document,
    }


def _merged(node: Node) -> list[MapNode]:
    """The mappings that a merge key (`<<`) takes in."""
    items = node.items if isinstance(node, ListNode) else [node]
    mappings = [item for item in items if isinstance(item, MapNode)]
    if len(mappings) < len(items):
        raise _error_at(node, "`<<` merges mappings; this is something else")
    return mappings


def _enter(mapping: MapNode, key: ScalarNode, node: Node) -> None:
    first, _ = mapping.entries.setdefault(key.text, (key, node))
    if first is not key:
        raise _error_at(
            key, f"the key {show(key.text)} is there already, on line {first.line}; keep one"
        )


def _tagged(event: Any) -> tuple[str, bool]:
    """Text and plainness of a scalar with an explicit tag."""
    if event.tag in _TEXT_TAGS:
        return event.value, False
    if event.tag in _PLAIN_TAGS:
        return event.value, True
    if event.tag == BINARY_TAG:
        return _binary(event), False
    raise _error(event, f"the tag {show(event.tag)} is not known; leave it out")


def _binary(event: Any) -> str:
    """The text in a `!!binary` scalar: how text with double quotes travels through rainbow."""
    try:
        return decode_binary(event.value)
    except JobspecError as exc:
        raise _error(event, str(exc)) from exc


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)


def _error(event: Any, what: str) -> JobspecError:
    mark = event.start_mark
    return error_at(mark.line + 1, mark.column + 1, what)


def _error_at(node: Node, what: str) -> JobspecError:
    return error_at(node.line, node.column, what)
