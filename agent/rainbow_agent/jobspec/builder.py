"""Builds the tasks of a plan, group by group: what stands side by side is ordered together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rainbow_agent.core.model import PlannedTask, TaskKind
from rainbow_agent.core.requirements import Option
from rainbow_agent.core.shape import Shape
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
    Resource,
    Script,
    Task,
)
from rainbow_agent.jobspec.fluxspec import (
    Programs,
    flux_jobspec,
    group_jobspec,
    is_fatal,
    templates,
)
from rainbow_agent.jobspec.options import Requires, choices_of, resources_of
from rainbow_agent.jobspec.places import Place, Places
from rainbow_agent.jobspec.reading import Faults
from rainbow_agent.jobspec.resources import shape_of
from rainbow_agent.jobspec.within import check_limit, check_within
from rainbow_agent.jobspec.words import listing

#: What a process beside the runner, and a stage of the top level, ask for.
_ONE_CORE = Shape(slots=1, cores=1)


@dataclass(frozen=True)
class Scope:
    """What holds for the tasks of a group that do not say otherwise."""

    name: str = ""  # the group's in the plan; "" is the top level
    resources: tuple[str, ...] | None = ()  # names of the group's alternatives; None: not known
    attributes: Attributes = NO_ATTRIBUTES
    shapes: tuple[Shape, ...] = ()  # of the group's alternatives; () where one is not known
    limit: float = 0.0  # seconds that the group may take; 0 is without limit

    @property
    def is_top(self) -> bool:
        """Whether tasks here go to the cluster's own instance, which may have queues."""
        return not self.name

    def path(self, name: str) -> str:
        """What a task of the group is called in the plan."""
        return f"{self.name}/{name}" if self.name else name


class Builder:
    """Plans a document, each group with what is in it.

    Args:
        document: the jobspec.
        places: its tasks and groups where they run.
        programs: how the agent's own programs are run in jobs.
        faults: where all goes that cannot run as it is written; the rest is looked at all the same.
        unread: names of resources that could not be read: nothing is said of what they ask for.
    """

    def __init__(
        self,
        document: Document,
        places: Places,
        programs: Programs,
        faults: Faults,
        unread: Collection[str] = (),
    ) -> None:
        self._document = document
        self._places = places
        self._programs = programs
        self._faults = faults
        self._size = Size()
        self._used: set[str] = set()
        #: What the resources that are used ask for, by name.
        self.shapes: dict[str, Shape] = {}
        self._bad_shapes = set(unread)

    def tasks(self) -> tuple[PlannedTask, ...]:
        """The tasks of the top level, those of groups in them, without those that have faults."""
        return self._side_by_side(self._places.top, Scope(attributes=self._document.attributes))

    def _side_by_side(self, places: Sequence[Place], scope: Scope) -> tuple[PlannedTask, ...]:
        needs = dependencies(places, self._faults, scope.name)
        self._faults.attempt(self._size.add, places, needs)
        order = run_order(places, needs, self._faults)
        after = in_place_order(places, order) if scope.name else {}
        names = self._names(places, scope)
        made = []
        for i in order:
            task, before = (
                self._faults.attempt(self._task, places[i], names[i], scope),
                after.get(i),
            )
            if task is not None and (needs[i] or before):
                task = replace(
                    task,
                    depends_on=tuple(names[need] for need in needs[i]),
                    after=tuple(names[number] for number in before or ()),
                )
            made += [task] if task is not None else []
        return tuple(made)

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

    def _task(self, place: Place, name: str, scope: Scope) -> PlannedTask | None:
        """What runs at a place; None when nothing of it can be said."""
        if place.group is not None:
            return self._group(place, place.group, name, scope)
        if place.unresolved:
            return None
        if place.task is None:
            raise AssertionError("a place without a task or a group")
        return self._single(place, place.task, name, scope)

    def _single(self, place: Place, task: Task, name: str, scope: Scope) -> PlannedTask | None:
        """A task with a command, or its steps."""
        self._faults.attempt(_check_queue, task, scope)
        self._faults.attempt(_check_local, task)
        in_place = bool(scope.name) and place.in_place
        command: tuple[str, ...] | Script
        if place.staging:
            command = self._programs.stage([step.path or "" for step in task.steps])
        else:
            command = self._faults.attempt(_command, task) or ()
        if in_place or (place.staging and task.resources is None):
            attributes = self._attributes(task.attributes, self._first(task), scope)
            check_limit(attributes.duration, scope.limit, place.at)
            jobspec = flux_jobspec(name, command, _ONE_CORE, _of(place, attributes))
            kind = TaskKind.LOCAL if in_place else TaskKind.JOB
            return PlannedTask(name, place.replicas, (), jobspec, kind)

        def write(shape: Shape, attributes: Attributes) -> dict[str, Any]:
            return flux_jobspec(name, command, shape, _of(place, attributes))

        options = self._options(task, scope, write, task.requires)
        if not options:
            return None
        return PlannedTask(
            name,
            place.replicas,
            (),
            options[0].jobspec,
            options=_that_matter(options),
            watch=self._attributes(task.attributes, self._first(task), scope).watch is True,
        )

    def _group(self, place: Place, group: Group, name: str, scope: Scope) -> PlannedTask | None:
        if not group.tasks and not group.groups:
            raise group.at.error("the group has no `tasks`; there is nothing to run")
        over = place.task.attributes if place.task is not None else NO_ATTRIBUTES
        names = self._faults.attempt(self._resources, group, scope) or ()
        first = names[0] if names and group.resources is not None else None
        attributes = over.over(self._attributes(group.attributes, first, scope))
        self._faults.attempt(_check_queue, group, scope)
        shapes = tuple(shape for each in names if (shape := self._shape(each)) is not None)
        # The group's limit ends what is in it: its tasks need none of their own.
        inner = Scope(
            name=name,
            resources=names or None,
            attributes=replace(attributes, duration=None, queue=None),
            shapes=shapes if len(shapes) == len(names) else (),
            limit=attributes.duration or scope.limit,
        )
        tasks = self._side_by_side(self._places.inside(group), inner)

        def write(shape: Shape, attributes: Attributes) -> dict[str, Any]:
            return group_jobspec(name, tasks, shape, over.over(attributes), self._programs)

        also = place.task.requires if place.task is not None else ()
        options = self._options(group, scope, write, group.requires, also)
        if not names or not options:
            return None
        return PlannedTask(
            name=name,
            replicas=1,
            depends_on=(),
            jobspec=options[0].jobspec,
            kind=TaskKind.GROUP,
            tasks=tasks,
            options=options if any(task.options for task in tasks) else _that_matter(options),
        )

    def _options(
        self,
        item: Task | Group,
        scope: Scope,
        write: Callable[[Shape, Attributes], dict[str, Any]],
        *requires: Requires,
    ) -> tuple[Option, ...]:
        """The ways to run a task or group, the best first: one for each of its alternatives."""
        options = []
        for name in self._resources(item, scope):
            resource, shape = self._document.resources[name], self._shape(name)
            given = name if item.resources is not None else None
            attributes = self._attributes(item.attributes, given, scope)
            self._faults.attempt(check_limit, attributes.duration, scope.limit, item.at)
            if shape is None:
                continue
            if given is not None:
                self._faults.attempt(check_within, shape, scope.shapes, item.at)
            choices = choices_of(self._document, resource, *requires)
            options.append(Option(name, shape, write(shape, attributes), choices, str(resource.at)))
        return tuple(options)

    def _shape(self, name: str) -> Shape | None:
        """What resources ask for; None when that cannot be said, which is a fault once."""
        if name not in self.shapes and name not in self._bad_shapes:
            shape = self._faults.attempt(shape_of, self._document.resources[name])
            if shape is None:
                self._bad_shapes.add(name)
            else:
                self.shapes[name] = shape
        return self.shapes.get(name)

    def _resources(self, item: Task | Group, scope: Scope) -> tuple[str, ...]:
        """The names of the resources to use: those written, else the group's."""
        if item.resources is not None:
            return resources_of(self._document, item.resources)
        if scope.resources is None:  # its group's, which are a fault already
            return ()
        if not scope.resources:
            known = self._document.resources
            there = listing(known) if known else "there is none yet"
            what = "a task" if isinstance(item, Task) else "a group"
            raise item.at.error(f"{what} needs `resources`; name one of the top level: {there}")
        return scope.resources

    def _first(self, task: Task) -> str | None:
        """The resources whose attributes hold for a task that asks for none of them."""
        return resources_of(self._document, task.resources)[0] if task.resources else None

    def _attributes(self, own: Attributes, resources: str | None, scope: Scope) -> Attributes:
        """A task's or group's own attributes over its resources' over those around it."""
        if resources is None:
            return own.over(scope.attributes)
        resource: Resource = self._document.resources[resources]
        found = own.over(resource.attributes.over(scope.attributes))
        return found if scope.is_top or found.queue is None else replace(found, queue=None)


def _of(place: Place, attributes: Attributes) -> Attributes:
    """What holds where a task runs: the stage's program gets nothing of a user's environment."""
    return replace(attributes, environment={}) if place.staging else attributes


def _check_queue(item: Task | Group, scope: Scope) -> None:
    """Queues are the cluster's: what is in a group runs where its group does.

    Raises:
        JobspecError: it names one.
    """
    if item.attributes.queue is not None and not scope.is_top:
        raise item.at.error(
            "`queue` inside a group: what is in a group runs on the group's own nodes; write it "
            "under the group's `attributes`"
        )


def _check_local(task: Task) -> None:
    """A local task runs where its group's runner does.

    Raises:
        JobspecError: it requires something of the node.
    """
    if task.local and task.requires:
        raise task.at.error(
            "a local task runs beside its group's runner, wherever that is; put `requires` on "
            "the group"
        )


def _that_matter(options: tuple[Option, ...]) -> tuple[Option, ...]:
    """Options between which the nodes decide; none where any node will do."""
    return options if len(options) > 1 or options[0].choices else ()


def _command(task: Task) -> tuple[str, ...] | Script:
    if task.command is None:
        raise task.at.error("nothing to run; write `command`")
    if isinstance(task.command, Script):
        return task.command
    if any(is_fatal(template) for word in task.command for template in templates(word)):
        raise task.at.error(
            "a word of `command` has more than 1023 bytes between {{ and }}, on which Flux's job "
            "shell crashes; write the command as a script (#!/bin/bash ...)"
        )
    return task.command
