"""What a jobspec says that nothing here acts on: not wrong, but worth a warning."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from rainbow_agent.core.model import PlannedTask
from rainbow_agent.core.shape import Shape
from rainbow_agent.jobspec.attributes import KNOWN_ATTRIBUTES
from rainbow_agent.jobspec.document import (
    Attributes,
    Document,
    Group,
    Reference,
    Resource,
    Script,
    Task,
)
from rainbow_agent.jobspec.fluxspec import MAX_WORD_BYTES, MAX_WORDS_BYTES, templates, too_much
from rainbow_agent.jobspec.words import Spot, listing, show

#: At most so many; a jobspec of 10,000 tasks may repeat itself.
MAX_REMARKS = 20


def remarks(
    document: Document, shapes: Mapping[str, Shape], tasks: Sequence[PlannedTask]
) -> tuple[str, ...]:
    """A sentence for each thing that is ignored or may surprise, at most MAX_REMARKS.

    Args:
        document: a jobspec that can be planned.
        shapes: of the resources that its tasks use, by name.
        tasks: its plan.
    """
    found = chain(_remarks(document, shapes), _too_much(tasks))
    return tuple(islice(found, MAX_REMARKS))


def _remarks(document: Document, shapes: Mapping[str, Shape]) -> Iterator[str]:
    yield from _unknown(document.attributes)
    yield from _too_long(document.attributes, Spot("attributes", 1, 1))
    for name, resource in document.resources.items():
        if name in shapes:
            yield from _unknown(resource.attributes)
            yield from _too_long(resource.attributes, resource.at)
            yield from _units(resource)
            yield from _flattened(resource, shapes[name])
        else:
            yield f"{resource.at}: no task or group uses these resources"
    yield from _unasked(document)
    for group in _every_group(document.groups):
        yield from _unknown(group.attributes)
        yield from _too_long(group.attributes, group.at)
        yield from _of_tasks(group.tasks)
    yield from _of_tasks(document.tasks)


def _every_group(groups: Sequence[Group]) -> Iterator[Group]:
    queue = list(groups)
    while queue:
        group = queue.pop(0)
        yield group
        queue += group.groups


def _of_tasks(tasks: Sequence[Task]) -> Iterator[str]:
    for task in tasks:
        yield from _unknown(task.attributes)
        yield from _too_long(task.attributes, task.at)
        if task.command is not None and not isinstance(task.command, Script):
            longest = max(len(word.encode()) for word in task.command)
            if longest > MAX_WORD_BYTES:
                yield (
                    f"{task.at}: a word of `command` has {longest:,} bytes, and most kernels take "
                    f"at most {MAX_WORD_BYTES:,}: there it cannot be started (Argument list too "
                    "long); write the command as a script (#!/bin/bash ...), which travels in the "
                    "job as a file"
                )
            found = [f"{{{{{t}}}}}" for word in task.command for t in templates(word)]
            if found:
                yield f"{task.at}: Flux may replace {listing(found)} in a command's words"


def _too_long(attributes: Attributes, at: Spot) -> Iterator[str]:
    for name, value in attributes.environment.items():
        size = len(name.encode()) + 1 + len(value.encode())
        if size > MAX_WORD_BYTES:
            yield (
                f"{at}: the variable {show(name)} has {size:,} bytes, and most kernels take "
                f"at most {MAX_WORD_BYTES:,}: a program that gets it cannot be started; put it in "
                "a file"
            )


def _too_much(tasks: Sequence[PlannedTask]) -> Iterator[str]:
    for task in tasks:
        yield from _too_much(task.tasks)
        jobspecs = (task.jobspec, *(option.jobspec for option in task.options))
        if size := max(map(too_much, jobspecs)):
            yield (
                f"task {show(task.name)}: its command and its environment have {size:,} bytes "
                f"together, and the kernel takes at most {MAX_WORDS_BYTES:,} (a quarter of the "
                "usual limit of the stack): a program that gets them cannot be started (Argument "
                "list too long); put them in files"
            )


def _unknown(attributes: Attributes) -> Iterator[str]:
    for unknown in attributes.unknown:
        yield (
            f"{unknown.at}: the attribute {show(unknown.name)} is not known and has no effect; "
            f"known: {listing(KNOWN_ATTRIBUTES)}"
        )


def _unasked(document: Document) -> Iterator[str]:
    """Blocks of `requires` that are never named, so never checked."""
    groups = list(_every_group(document.groups))
    tasks = [*document.tasks, *(task for group in groups for task in group.tasks)]
    written = [*(group.requires for group in groups), *(task.requires for task in tasks)]
    named = {needs.name for needs in written if isinstance(needs, Reference)}
    named |= {part.strip() for name in named for part in re.split("[|,&]", name)}
    for name in document.requires:
        if name not in named:
            yield f"requires: no task or group names {show(name)}, so it is not asked for"


def _units(resource: Resource) -> Iterator[str]:
    if resource.unit is not None:
        yield f"{resource.at}: `unit` has no effect; nodes, cores and GPUs are counted"
    for child in resource.children:
        yield from _units(child)


def _flattened(resource: Resource, shape: Shape) -> Iterator[str]:
    for level in dict.fromkeys(shape.flattened):
        yield (
            f"{resource.at}: Flux's jobspec has no {level}; what it holds is asked for, and may "
            f"come from more than one {level}"
        )
