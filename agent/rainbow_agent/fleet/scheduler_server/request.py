"""What a jobspec asks of a cluster: its `resources`, read strictly from JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from rainbow_agent.core.requirements import Need
from rainbow_agent.fleet.scheduler_server.failure import Failure

_MAX_WITH_DEPTH: Final = 20  # levels of `with`


@dataclass(frozen=True)
class Wanted:
    """A resource of a jobspec: so many of a type, each with something in it.

    `count` asks for that many of the type, for itself alone. `replicas` asks for that many slots:
    each within one resource of the type, several in the same one where they fit. Both: slots
    times count, each for itself alone.
    """

    type: str
    count: int | None
    replicas: int | None
    requires: tuple[Need, ...]
    children: tuple[Wanted, ...]
    scheduled: bool = False

    @property
    def needed(self) -> int:
        """How many."""
        return (self.replicas or 1) * (1 if self.count is None else self.count)

    @property
    def shares(self) -> bool:
        """Whether several of it may be in one resource of its type."""
        return self.count is None and self.replicas is not None and bool(self.children)

    def types(self) -> frozenset[str]:
        """Of itself and all that is in it."""
        return frozenset({self.type}).union(*(child.types() for child in self.children))


def parse(text: str) -> tuple[Wanted, ...]:
    """The resources of a jobspec (JSON text) that a cluster must have.

    If any is marked `schedule: true`, only those that are.

    Raises:
        Failure: the text is not a jobspec.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise Failure(f"the jobspec is not valid JSON: {exc}") from exc
    resources = _expect(document, dict, "jobspec").get("resources") or {}
    every = tuple(
        _request(value, f"resources.{name}", 0)
        for name, value in _expect(resources, dict, "resources").items()
    )
    return tuple(r for r in every if r.scheduled) or every


def _request(value: Any, where: str, depth: int) -> Wanted:
    if depth > _MAX_WITH_DEPTH:
        raise Failure(f"{where}: more than {_MAX_WITH_DEPTH} levels of resources")
    fields = _expect(value, dict, where)
    children = _expect(fields.get("with") or [], list, f"{where}.with")
    entries = _expect(fields.get("requires") or [], list, f"{where}.requires")
    found = (_requirement(_expect(e, dict, f"{where}.requires")) for e in entries)
    requires = tuple(r for r in found if r is not None)
    below = tuple(_request(c, f"{where}.with[{i}]", depth + 1) for i, c in enumerate(children))
    return Wanted(
        type=_expect(fields.get("type", ""), str, f"{where}.type"),
        count=_count(fields.get("count"), f"{where}.count"),
        replicas=_count(fields.get("replicas"), f"{where}.replicas"),
        requires=requires,
        # What is picky chooses first, or it finds the only fitting resource taken.
        children=tuple(sorted(below, key=lambda c: (not c.requires, not c.children))),
        scheduled=fields.get("schedule") is True,
    )


def _requirement(entry: Mapping[str, Any]) -> Need | None:
    """An entry of `requires`; None if it asks nothing that a field could answer."""
    subsystem, name = _text(entry.get("name")), _text(entry.get("field"))
    equals, low, high = (_text(entry.get(key)) for key in ("match", "min", "max"))
    if not subsystem or not name or not (equals or low or high):
        return None
    return Need(subsystem, name, equals, low, high)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _count(value: Any, where: str) -> int | None:
    """A number of resources; 0 is none given, as in the Go server."""
    if value is None:
        return None
    number: int = _expect(value, int, where)
    if isinstance(value, bool) or number < 0:
        raise Failure(f"{where} must be a whole number from 0")
    return number or None


def _expect(value: Any, kind: type, where: str) -> Any:
    if not isinstance(value, kind):
        raise Failure(f"{where}: cannot read {type(value).__name__} as {kind.__name__}")
    return value
