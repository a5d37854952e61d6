"""What of the specification this agent does not run yet; a jobspec that asks for it is refused.

Never half run: a feature that is anywhere in the jobspec refuses the whole of it, by name.
"""

from __future__ import annotations

from collections.abc import Iterator

from rainbow_agent.jobspec.document import Document, Group, Task
from rainbow_agent.jobspec.words import Spot, show


def refuse_unsupported(document: Document) -> None:
    """Return when everything in the document can be planned.

    Raises:
        JobspecError: it has groups, steps or local tasks; with the first of them.
    """
    for at, what in _unsupported(document):
        raise at.error(f"{what} not supported yet, so the whole jobspec is refused")


def _unsupported(document: Document) -> Iterator[tuple[Spot, str]]:
    for group in document.groups:
        yield group.at, _of_group(group)
    for task in document.tasks:
        yield from _of_task(task)


def _of_group(group: Group) -> str:
    return f"groups ({show(group.name) if group.name else 'this one has no name'}) are"


def _of_task(task: Task) -> Iterator[tuple[Spot, str]]:
    if task.group:
        yield task.group.at, f"a reference to a group ({show(task.group.name)}) is"
    if task.steps:
        yield task.steps[0].at, f"steps ({show(task.steps[0].name)}) are"
    if task.local:
        yield task.at, "`local: true` is"
