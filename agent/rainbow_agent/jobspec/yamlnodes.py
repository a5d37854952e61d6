"""What a YAML text says, with positions: text as written, lists, mappings."""

from __future__ import annotations

from dataclasses import dataclass, field

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
