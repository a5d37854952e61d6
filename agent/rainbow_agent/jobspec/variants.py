"""A jobspec's alternatives one by one, for a matcher that knows none.

Rainbow's matcher takes every named resource for one that a cluster must have (unless some are
marked `schedule: true`): for `resources: gpu|cpu` it would ask for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice, product
from typing import Any, Final

#: Variants that are asked about at most; each is a call to rainbow.
MAX_VARIANTS: Final = 16


def variants(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The jobspec with one resource left of each `a|b`, the best first; itself where it has none.

    Args:
        document: a jobspec that can be planned, as plain values.
    """
    resources = document.get("resources") or {}
    written = dict.fromkeys(str(name) for name in _references(document))
    choices = [
        [part.strip() for part in name.split("|")] for name in written if name not in resources
    ]
    if not choices:
        return [document]
    named = set(written) & set(resources)
    offered = {name for alternatives in choices for name in alternatives}
    found: list[Mapping[str, Any]] = []
    for chosen in islice(product(*choices), MAX_VARIANTS):
        dropped = offered - named - set(chosen)
        left = {name: vertex for name, vertex in resources.items() if name not in dropped}
        found.append({**document, "resources": left})
    return found


def _references(holder: Mapping[str, Any]) -> Iterator[Any]:
    """What tasks and groups write under `resources`, at any depth."""
    for item in (*(holder.get("tasks") or ()), *(holder.get("groups") or ())):
        if item.get("resources") is not None:
            yield item["resources"]
        yield from _references(item)
