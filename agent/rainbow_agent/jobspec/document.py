"""A jobspec nextgen, version 1, as typed values: what is written, not yet what to do about it.

Source of the shape: compspec/jobspec, docs/docs/spec.md and its JSON schema (draft-07). A `Spot`
says where a value stands in the file; it has no part in equality.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from rainbow_agent.jobspec.words import Spot


@dataclass(frozen=True, slots=True)
class Reference:
    """A name that stands for something elsewhere in the jobspec."""

    name: str
    at: Spot = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Script:
    """A command that is a whole script: text that begins with `#!`."""

    interpreter: tuple[str, ...]  # the program and, at most, one argument, as the kernel splits
    text: str


@dataclass(frozen=True, slots=True)
class Attributes:
    """How something runs, as opposed to on what."""

    duration: float | None = None  # seconds; 0 is without limit
    cwd: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)  # may hold secrets
    watch: bool | None = None
    queue: str | None = None  # of Flux
    unknown: tuple[Reference, ...] = ()  # names of attributes that nothing here understands
    once: str | None = None  # of the whole job: its key
    results: tuple[str, ...] = ()  # of the whole job: patterns of files below cwd

    def over(self, base: Attributes) -> Attributes:
        """These attributes where they are set, `base` elsewhere; environments are merged."""
        if self is NO_ATTRIBUTES:
            return base
        return Attributes(
            duration=base.duration if self.duration is None else self.duration,
            cwd=base.cwd if self.cwd is None else self.cwd,
            environment={**base.environment, **self.environment},
            watch=base.watch if self.watch is None else self.watch,
            queue=base.queue if self.queue is None else self.queue,
            unknown=(*base.unknown, *self.unknown),
        )


#: What most tasks have.
NO_ATTRIBUTES = Attributes()


@dataclass(frozen=True, slots=True)
class Requirement:
    """One entry of `requires`: what a vertex, or the user's software, must have."""

    name: str  # of the subsystem
    fields: Mapping[str, str]  # field, match, min, max, attribute, value
    at: Spot = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Resource:
    """A vertex of a resource tree. Exactly one of `count` and `replicas` is set."""

    type: str
    count: int | None
    replicas: int | None  # this many slots, anywhere
    at: Spot = field(compare=False, repr=False)
    children: tuple[Resource, ...] = ()
    requires: tuple[Requirement, ...] = ()
    attributes: Attributes = NO_ATTRIBUTES
    exclusive: bool = False
    schedule: bool | None = None
    label: str | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Something the workload manager does for a task in the place of a command."""

    name: str
    path: str | None
    at: Spot = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Task:
    """One command, or a reference to a group that runs at this place."""

    name: str | None
    command: tuple[str, ...] | Script | None
    at: Spot = field(compare=False, repr=False)
    resources: Reference | None = None
    depends_on: tuple[Reference, ...] = ()
    replicas: int = 1
    attributes: Attributes = NO_ATTRIBUTES
    steps: tuple[Step, ...] = ()
    group: Reference | None = None
    local: bool = False
    requires: Reference | tuple[Requirement, ...] = ()
    #: Whether `depends_on` is written, be it an empty list: then nothing else says its place.
    placed: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """Tasks that share an allocation."""

    name: str | None
    at: Spot = field(compare=False, repr=False)
    resources: Reference | None = None
    depends_on: tuple[Reference, ...] = ()
    tasks: tuple[Task, ...] = ()
    groups: tuple[Group, ...] = ()
    attributes: Attributes = NO_ATTRIBUTES
    requires: Reference | tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A whole jobspec."""

    name: str | None
    resources: Mapping[str, Resource]
    tasks: tuple[Task, ...]
    groups: tuple[Group, ...] = ()
    requires: Mapping[str, tuple[Requirement, ...]] = field(default_factory=dict)
    attributes: Attributes = NO_ATTRIBUTES
