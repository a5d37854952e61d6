"""Everything that is wrong with a jobspec's text at once, for who writes it (`validate`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rainbow_agent.jobspec.dependencies import circles, resolved
from rainbow_agent.jobspec.document import Document, Group, Resource, Task
from rainbow_agent.jobspec.options import needs_in, resources_of
from rainbow_agent.jobspec.parsing import read
from rainbow_agent.jobspec.places import Place, Places
from rainbow_agent.jobspec.plan import plan
from rainbow_agent.jobspec.reading import Faults
from rainbow_agent.jobspec.resources import shape_of

#: How errors and remarks say where: `tasks[1] (line 5, column 3): ...` or `line 5, column 3: ...`.
_PLACE = re.compile(r"(?:(.*?) \()?line (\d+), column (\d+)\)?: (.*)", re.DOTALL)


@dataclass(frozen=True)
class Diagnostic:
    """One thing about a text."""

    line: int  # from 1
    column: int  # from 1
    message: str
    warning: bool = False  # it runs, but perhaps not as its writer thinks


def check(text: str) -> list[Diagnostic]:
    """All that is wrong with a jobspec, by place; when nothing is, what may surprise.

    Its form, its names and its circles at once. How large it becomes, and whether what is in a
    group fits into it, can only be seen once these are right.
    """
    faults = Faults()
    document = faults.attempt(read, text, faults)
    if document is not None:
        _look_at_all(document, faults)
    planned = faults.attempt(plan, document) if document and not faults.found else None
    if planned is not None:
        return [_diagnostic(warning, warning=True) for warning in planned.warnings]
    by_place = sorted(faults.found, key=lambda f: (f.line or 0, f.column or 0))
    return [_diagnostic(text) for text in dict.fromkeys(str(fault) for fault in by_place)]


def _diagnostic(text: str, *, warning: bool = False) -> Diagnostic:
    found = _PLACE.match(text)
    if found is None:
        return Diagnostic(1, 1, text, warning)
    path, line, column, what = found.groups()
    named = f"{path}: {what}" if path else what
    return Diagnostic(int(line), int(column), named, warning)


def _look_at_all(document: Document, faults: Faults) -> None:
    """Each name and each resource for itself, where plan() ends at the first that is wrong.

    What could not be read itself is not looked at again: its only fault is that one.
    """
    unread = [str(fault) for fault in faults.found]
    for resource in document.resources.values():
        inside = tuple(f"{resource.at.path}{mark}" for mark in " .[")
        if not any(fault.startswith(inside) for fault in unread):
            faults.attempt(shape_of, resource)
            _requirements(resource, faults)
    known = not any(fault.startswith("requires") for fault in unread)
    for entries in document.requires.values() if known else ():
        faults.attempt(needs_in, document, entries)
    for item in _items(document.tasks, document.groups):
        if item.resources is not None:
            faults.attempt(resources_of, document, item.resources)
        if known:
            faults.attempt(needs_in, document, item.requires)
    places = faults.attempt(Places, document)
    if places is not None:
        _names(places, places.top, "", faults)


def _requirements(resource: Resource, faults: Faults) -> None:
    faults.attempt(needs_in, None, resource.requires)
    for child in resource.children:
        _requirements(child, faults)


def _items(tasks: Sequence[Task], groups: Sequence[Group]) -> Iterator[Task | Group]:
    yield from tasks
    for group in groups:
        yield group
        yield from _items(group.tasks, group.groups)


def _names(places: Places, side_by_side: Sequence[Place], where: str, faults: Faults) -> None:
    circles(side_by_side, resolved(side_by_side, faults, where), faults)
    for place in side_by_side:
        if place.group is not None:
            _names(places, places.inside(place.group), place.name or place.default, faults)
