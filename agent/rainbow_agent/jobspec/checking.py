"""Everything that is wrong with a jobspec's text at once, for who writes it (`validate`)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec.document import Document, Group, Resource, Task
from rainbow_agent.jobspec.options import needs_in, resources_of
from rainbow_agent.jobspec.parsing import read
from rainbow_agent.jobspec.plan import planned
from rainbow_agent.jobspec.reading import MAX_FAULTS, Faults
from rainbow_agent.jobspec.resources import shape_of

#: How errors and remarks say where: `tasks[1] (line 5, column 3): ...` or `line 5, column 3: ...`.
_PLACE = re.compile(r"(?:(.*?) \()?line (\d+), column (\d+)\)?: (.*)", re.DOTALL)

#: What a task, a group or the whole jobspec is made of: without it there is no more to say of that.
_MADE_OF = re.compile(r"(?:(.*)\.)?(?:command|group|steps|resources|tasks|groups)(?:\[\d+\])*")


@dataclass(frozen=True)
class Diagnostic:
    """One thing about a text."""

    line: int  # from 1
    column: int  # from 1
    message: str
    warning: bool = False  # it runs, but perhaps not as its writer thinks


def check(text: str) -> list[Diagnostic]:
    """All that is wrong with a jobspec, by place; when nothing is, what may surprise.

    What follows from a place that cannot be read is not a fault of its own.
    """
    faults, later = Faults(), Faults()
    document = faults.attempt(read, text, faults)
    unread = [str(fault) for fault in faults.found]
    if document is not None:
        bad = {n for n, r in document.resources.items() if _is_in(r.at.path, unread)}
        _look_at_all(document, faults, bad, unread)
        plan = later.attempt(planned, document, later, unread=bad)
        faults.found += _on_their_own(later.found, unread)
        if plan is not None and not faults.found:
            return [_diagnostic(warning, warning=True) for warning in plan.warnings]
    by_place = sorted(faults.found, key=lambda f: (f.line or 0, f.column or 0))
    told = [_diagnostic(text) for text in dict.fromkeys(str(fault) for fault in by_place)]
    if faults.enough or later.enough:
        told.append(Diagnostic(1, 1, f"{MAX_FAULTS} faults were found, and no more looked for"))
    return told


def _diagnostic(text: str, *, warning: bool = False) -> Diagnostic:
    found = _PLACE.match(text)
    if found is None:
        return Diagnostic(1, 1, text, warning)
    path, line, column, what = found.groups()
    named = f"{path}: {what}" if path else what
    return Diagnostic(int(line), int(column), named, warning)


def _is_in(path: str, faults: Sequence[str]) -> bool:
    """Whether one of these faults is about something at or below this place."""
    return any(fault.startswith(tuple(f"{path}{mark}" for mark in " .[")) for fault in faults)


def _on_their_own(found: Sequence[JobspecError], unread: Sequence[str]) -> Iterator[JobspecError]:
    """Those of the later faults that would be there if all could have been read."""
    holes = {_path(fault) for fault in unread}
    holes |= {match[1] or "" for hole in holes if (match := _MADE_OF.fullmatch(hole))}
    nameless = tuple(f".{hole}" for hole in holes & {"resources", "requires"})
    for fault in found:
        path = _path(str(fault))
        if path not in holes and not path.endswith(nameless):
            yield fault


def _path(fault: str) -> str:
    """Where a fault is: `tasks[1]`; "" is the whole jobspec."""
    path = fault.partition(" (line ")[0]
    return "" if path in (fault, "jobspec") else path


def _look_at_all(
    document: Document, faults: Faults, bad: Collection[str], unread: Sequence[str]
) -> None:
    """Each name and each resource for itself, also where no task uses it.

    What could not be read itself is not looked at again: its only fault is that one.
    """
    for name, resource in document.resources.items():
        if name not in bad:
            faults.attempt(shape_of, resource)
            _requirements(resource, faults)
    known, named = not _is_in("requires", unread), "resources" not in map(_path, unread)
    for entries in document.requires.values() if known else ():
        faults.attempt(needs_in, document, entries)
    for item in _items(document.tasks, document.groups):
        if named and item.resources is not None:
            faults.attempt(resources_of, document, item.resources)
        if known:
            faults.attempt(needs_in, document, item.requires)


def _requirements(resource: Resource, faults: Faults) -> None:
    faults.attempt(needs_in, None, resource.requires)
    for child in resource.children:
        _requirements(child, faults)


def _items(tasks: Sequence[Task], groups: Sequence[Group]) -> Iterator[Task | Group]:
    yield from tasks
    for group in groups:
        yield group
        yield from _items(group.tasks, group.groups)
