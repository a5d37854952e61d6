"""Builds the tasks of a plan, group by group: what stands side by side is ordered together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rainbow_agent.jobspec.dependencies import (
    Size,
    dependencies,
    in_place_order,
    run_order,
    unique_names,
)
from rainbow_agent.jobspec.document import (
    NO_ATTRIBUTES,
    Attributes,
    Document,
    Group,
    Reference,
    Resource,
    Script,
    Task,
)
from rainbow_agent.jobspec.fluxspec import flux_jobspec, group_jobspec, is_fatal, templates
from rainbow_agent.jobspec.places import Place, Places
from rainbow_agent.jobspec.programs import Programs
from rainbow_agent.jobspec.resources import Shape, shape_of
from rainbow_agent.jobspec.words import Spot, listing, show, suggestion
from rainbow_agent.model import PlannedTask, TaskKind

#: What a process beside the runner, and a stage of the top level, ask for.
_LEAST = Shape(slots=1, cores=1)


@dataclass(frozen=True)
class Scope:
    """What holds for the tasks of a group that do not say otherwise."""

    name: str = ""  # the group's in the plan; "" is the top level
    resources: str | None = None  # the name of the group's
    attributes: Attributes = NO_ATTRIBUTES

    def path(self, name: str) -> str:
        """What a task of the group is called in the plan."""
        return f"{self.name}/{name}" if self.name else name


class Builder:
    """Plans a document, each group with what is in it.

    Args:
        document: the jobspec.
        places: its tasks and groups where they run.
        programs: how the agent's own programs are run in jobs.
    """

    def __init__(self, document: Document, places: Places, programs: Programs) -> None:
        self._document = document
        self._places = places
        self._programs = programs
        self._size = Size()
        self._used: set[str] = set()
        #: What the resources that are used ask for, by name.
        self.shapes: dict[str, Shape] = {}

    def tasks(self) -> tuple[PlannedTask, ...]:
        """The tasks of the top level, those of groups in them.

        Raises:
            JobspecError: it cannot run as it is written; with the place and what to write.
        """
        return self._side_by_side(self._places.top, Scope(attributes=self._document.attributes))

    def _side_by_side(self, places: Sequence[Place], scope: Scope) -> tuple[PlannedTask, ...]:
        needs = dependencies(places, scope.name)
        self._size.add(places, needs)
        order = run_order(places, needs)
        after = in_place_order(places, order) if scope.name else {}
        names = self._names(places, scope)
        return tuple(
            replace(
                self._task(places[i], names[i], scope),
                depends_on=tuple(names[need] for need in needs[i]),
                after=tuple(names[before] for before in after.get(i, ())),
            )
            for i in order
        )

    def _names(self, places: Sequence[Place], scope: Scope) -> list[str]:
        """Names that are unique in the whole job."""
        names = unique_names([p.name for p in places], [p.default for p in places])
        for i, name in enumerate(names):
            path, number = scope.path(name), 1
            while path in self._used:  # somebody's own name has a slash in it
                number += 1
                path = f"{scope.path(name)}#{number}"
            self._used.add(path)
            names[i] = path
        return names

    def _task(self, place: Place, name: str, scope: Scope) -> PlannedTask:
        if place.group is not None:
            return self._group(place, place.group, name, scope)
        if place.task is None:
            raise AssertionError("a place without a task or a group")
        return self._single(place, place.task, name, scope)

    def _single(self, place: Place, task: Task, name: str, scope: Scope) -> PlannedTask:
        """A task with a command, or its steps."""
        in_place = bool(scope.name) and place.in_place
        resources = self._resources(task.resources, scope)
        attributes = self._attributes(task.attributes, task.resources, scope)
        command: tuple[str, ...] | Script
        if place.staging:
            command = self._programs.stage([step.path or "" for step in task.steps])
            resources = resources if task.resources else None
            attributes = replace(attributes, environment=scope.attributes.environment)
        else:
            command = _command(task)
        if in_place or (place.staging and resources is None):
            shape = _LEAST
        else:
            shape = self._shape(resources, place.at, "a task")
        kind = TaskKind.LOCAL if in_place else TaskKind.JOB
        jobspec = flux_jobspec(name, command, shape, attributes)
        return PlannedTask(name, place.replicas, (), jobspec, kind)

    def _group(self, place: Place, group: Group, name: str, scope: Scope) -> PlannedTask:
        if not group.tasks and not group.groups:
            raise group.at.error("the group has no `tasks`; there is nothing to run")
        resources = self._resources(group.resources, scope)
        shape = self._shape(resources, group.at, "a group")
        attributes = self._attributes(group.attributes, group.resources, scope)
        if place.task is not None:
            attributes = place.task.attributes.over(attributes)
        # The group's limit ends what is in it: its tasks need none of their own.
        inner = Scope(name, resources, replace(attributes, duration=None))
        tasks = self._side_by_side(self._places.inside(group), inner)
        jobspec = group_jobspec(name, tasks, shape, attributes, self._programs)
        return PlannedTask(name, 1, (), jobspec, TaskKind.GROUP, tasks=tasks)

    def _resources(self, reference: Reference | None, scope: Scope) -> str | None:
        """The name of the resources to use: those written, else the group's."""
        if reference is None:
            return scope.resources
        name = reference.name
        if "|" in name or "," in name:
            raise reference.at.error(
                f"a choice or sum of resources ({show(name)}) is not supported yet; name one"
            )
        if name not in self._document.resources:
            raise reference.at.error(
                f"no resource is named {show(name)}; {suggestion(name, self._document.resources)}"
            )
        return name

    def _shape(self, name: str | None, at: Spot, what: str) -> Shape:
        known = self._document.resources
        if name is None:
            there = listing(known) if known else "there is none yet"
            raise at.error(f"{what} needs `resources`; name one of the top level: {there}")
        if name not in self.shapes:
            self.shapes[name] = shape_of(known[name])
        return self.shapes[name]

    def _attributes(self, own: Attributes, reference: Reference | None, scope: Scope) -> Attributes:
        """A task's or group's own attributes over its resources' over those around it."""
        if reference is None:
            return own.over(scope.attributes)
        resource: Resource = self._document.resources[reference.name]
        return own.over(resource.attributes.over(scope.attributes))


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
