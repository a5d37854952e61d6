"""From a Document to a Plan: names resolved, tasks in order, each with its Flux jobspec."""

from __future__ import annotations

from rainbow_agent.errors import JobspecError
from rainbow_agent.jobspec.dependencies import check_size, dependencies, run_order, unique_names
from rainbow_agent.jobspec.document import Document, Resource, Script, Task
from rainbow_agent.jobspec.fluxspec import flux_jobspec, is_fatal, templates
from rainbow_agent.jobspec.parsing import parse
from rainbow_agent.jobspec.remarks import remarks
from rainbow_agent.jobspec.resources import Shape, shape_of
from rainbow_agent.jobspec.supported import refuse_unsupported
from rainbow_agent.jobspec.words import listing, show, suggestion
from rainbow_agent.model import Plan, PlannedTask


def plan_text(text: str) -> Plan:
    """The plan of a jobspec's text.

    Raises:
        JobspecError: it is no jobspec, or cannot run as it is written.
    """
    return plan(parse(text))


def plan(document: Document) -> Plan:
    """The plan of a jobspec: each task once, after all that it depends on, else as in the file.

    A task without a name is `task-N`, N its place from 0. A name that is used again, and that
    nobody depends on, becomes NAME#2, NAME#3 and so on. The same text always gives the same plan:
    a restarted agent recognises its tasks by these names.

    Raises:
        JobspecError: it cannot run as it is written; with the place and what to write.
    """
    refuse_unsupported(document)
    if not document.tasks:
        raise JobspecError("the jobspec has no `tasks`; there is nothing to run")
    needs = dependencies(document.tasks)
    check_size(document.tasks, needs)
    order = run_order(document.tasks, needs)
    names = unique_names([task.name for task in document.tasks])
    shapes = _shapes(document)
    tasks = tuple(
        PlannedTask(
            name=names[i],
            replicas=document.tasks[i].replicas,
            depends_on=tuple(names[need] for need in needs[i]),
            jobspec=_jobspec(document, document.tasks[i], names[i], shapes),
        )
        for i in order
    )
    return Plan(document.name or "", tasks, remarks(document, shapes))


def _shapes(document: Document) -> dict[str, Shape]:
    """What the resources that tasks use ask for, by name."""
    shapes: dict[str, Shape] = {}
    for task in document.tasks:
        name, resource = _resource(document, task)
        if name not in shapes:
            shapes[name] = shape_of(resource)
    return shapes


def _resource(document: Document, task: Task) -> tuple[str, Resource]:
    if task.resources is None:
        raise task.at.error(
            "a task needs `resources`; name one of the top level: "
            + (listing(document.resources) if document.resources else "there is none yet")
        )
    name = task.resources.name
    if "|" in name or "," in name:
        raise task.resources.at.error(
            f"a choice or sum of resources ({show(name)}) is not supported yet; name one"
        )
    if name not in document.resources:
        raise task.resources.at.error(
            f"no resource is named {show(name)}; {suggestion(name, document.resources)}"
        )
    return name, document.resources[name]


def _jobspec(
    document: Document, task: Task, name: str, shapes: dict[str, Shape]
) -> dict[str, object]:
    resources, resource = _resource(document, task)
    attributes = task.attributes.over(resource.attributes.over(document.attributes))
    return flux_jobspec(name, _command(task), shapes[resources], attributes)


def _command(task: Task) -> tuple[str, ...] | Script:
    if task.command is None:
        raise task.at.error("nothing to run; write `command`")
    if not isinstance(task.command, Script) and any(
        is_fatal(template) for word in task.command for template in templates(word)
    ):
        raise task.at.error(
            "a word of `command` has more than 1023 bytes between {{ and }}, on which Flux's job "
            "shell crashes; write the command as a script (#!/bin/bash ...)"
        )
    return task.command
