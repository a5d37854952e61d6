"""Where everything runs: which tasks and groups stand side by side, and which group is in which.

A group runs where a task refers to it (`- group: train`); one that no task refers to runs on its
own, beside the tasks of where it is written. A name is looked for in the groups of the same
mapping first, then in those around it. Source: compspec/jobspec, docs/docs/spec.md ("Groups",
"Nested Hierarchy"), whose transformer uses a group once and runs the others beside the tasks.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from rainbow_agent.jobspec.document import Document, Group, Reference, Task
from rainbow_agent.jobspec.reading import Faults
from rainbow_agent.jobspec.words import Spot, listing, show, suggestion

#: Groups in groups; each is a Flux instance of its own, and its plan travels inside all above it.
MAX_GROUP_DEPTH = 10


@dataclass(frozen=True, slots=True)
class Place:
    """A task or a group where it runs: one task of the plan."""

    at: Spot
    name: str | None  # as written
    default: str  # its name where none is written
    task: Task | None  # None: a group that no task refers to
    group: Group | None = None
    depends_on: tuple[Reference, ...] = ()
    replicas: int = 1
    alias: str | None = None  # another name by which it can be waited for: its group's
    staging: bool = False  # only the steps of `task`
    after_previous: bool = False  # it needs the place before it, which has its steps

    @property
    def unresolved(self) -> bool:
        """Whether it refers to a group that is not known, which is a fault already."""
        return self.group is None and self.task is not None and self.task.group is not None

    @property
    def in_place(self) -> bool:
        """Whether it runs beside the group's runner, when it is in a group."""
        return self.staging or (self.task is not None and self.task.local)

    @property
    def placed(self) -> bool:
        """Whether it says itself what it waits for."""
        return bool(self.depends_on) or (self.task is not None and self.task.placed)


class Places:
    """The places of a document, at every depth.

    Args:
        document: the jobspec.
        faults: where these go: a reference to a group that is not there, a group that is used
            twice, groups that refer to each other in a circle, a local task outside any group.

    Raises:
        JobspecError: groups lie too deep.
    """

    def __init__(self, document: Document, faults: Faults) -> None:
        self._faults = faults
        #: By the place in memory: groups that are equal are still several.
        self._users: dict[int, Task] = {}
        self._targets: dict[int, Group] = {}  # of tasks that refer to a group
        scope = ChainMap(_named(document.groups))
        self._refer(document.tasks, scope)
        self._look_into(document.groups, scope)
        for task in document.tasks:
            if task.local:
                faults.found.append(
                    task.at.error(
                        "`local: true` outside any group: nothing of a job runs beside the agent "
                        "itself; put the task into a group, or drop `local`"
                    )
                )
        self.top = self._side_by_side(document.tasks, document.groups)
        self._check_depth(document.groups)

    def inside(self, group: Group) -> list[Place]:
        """The places in a group."""
        return self._side_by_side(group.tasks, group.groups)

    def _look_into(self, groups: Sequence[Group], scope: ChainMap[str, list[Group]]) -> None:
        queue = [(group, scope) for group in groups]
        while queue:
            group, around = queue.pop()
            within = around.new_child(_named(group.groups))
            self._refer(group.tasks, within)
            queue += [(inner, within) for inner in group.groups]

    def _refer(self, tasks: Sequence[Task], scope: Mapping[str, list[Group]]) -> None:
        for task in tasks:
            group = self._faults.attempt(self._group_of, task, scope)
            if group is not None:
                self._targets[id(task)] = group

    def _group_of(self, task: Task, scope: Mapping[str, list[Group]]) -> Group | None:
        if task.group is None:
            return None
        group = _find(task.group, scope)
        user = self._users.setdefault(id(group), task)
        if user is not task:
            raise task.group.at.error(
                f"the group {show(task.group.name)} is used by {user.at.path} already; a "
                "group is used once: write another one for this place"
            )
        if task.replicas > 1:
            self._faults.found.append(
                task.at.error(
                    "`replicas` of a group: a group is used once; give its tasks `replicas`, or "
                    "write several groups"
                )
            )
        return group

    def _side_by_side(self, tasks: Sequence[Task], groups: Sequence[Group]) -> list[Place]:
        places = [place for i, task in enumerate(tasks) for place in self._of_task(i, task)]
        places += [
            Place(group.at, group.name, f"group-{i}", None, group, group.depends_on)
            for i, group in enumerate(groups)
            if id(group) not in self._users
        ]
        return places

    def _of_task(self, number: int, task: Task) -> Iterator[Place]:
        group = self._targets.get(id(task))
        place = Place(
            at=task.at,
            name=task.name,
            default=f"task-{number}",
            task=task,
            depends_on=task.depends_on,
            replicas=task.replicas,
            staging=bool(task.steps) and task.command is None,
        )
        if group is not None:
            yield replace(
                place,
                name=task.name or group.name,
                group=group,
                depends_on=(*task.depends_on, *group.depends_on),
                alias=group.name if task.name else None,
            )
        elif task.steps and task.command is not None:
            title = f"{task.name or place.default}:stage"
            yield replace(place, name=None, default=title, replicas=1, staging=True)
            yield replace(place, after_previous=True)
        else:
            name = task.name or (task.group.name if task.group else None)
            yield replace(place, name=name, replicas=1 if place.staging else place.replicas)

    def _check_depth(self, groups: Sequence[Group]) -> None:
        """Every group is reached from the top, and none lies too deep."""
        reached: set[int] = set()
        queue = [(place, 1) for place in self.top]
        while queue:
            place, depth = queue.pop()
            if place.group is None:
                continue
            if depth > MAX_GROUP_DEPTH:
                raise place.at.error(
                    f"a group in more than {MAX_GROUP_DEPTH} groups; each is a Flux instance of "
                    "its own: put some side by side"
                )
            reached.add(id(place.group))
            queue += [(inner, depth + 1) for inner in self.inside(place.group)]
        lost = [group for group in _every(groups) if id(group) not in reached]
        if lost:
            names = listing(group.name or "" for group in lost)
            self._faults.found.append(
                lost[0].at.error(
                    f"groups refer to each other in a circle: {names}; take one `group` out"
                )
            )


def _every(groups: Sequence[Group]) -> Iterator[Group]:
    queue = list(groups)
    while queue:
        group = queue.pop(0)
        yield group
        queue += group.groups


def _named(groups: Sequence[Group]) -> dict[str, list[Group]]:
    named: dict[str, list[Group]] = {}
    for group in groups:
        if group.name is not None:
            named.setdefault(group.name, []).append(group)
    return named


def _find(reference: Reference, scope: Mapping[str, list[Group]]) -> Group:
    found = scope.get(reference.name)
    if found is None:
        raise reference.at.error(
            f"no group is named {show(reference.name)}; {suggestion(reference.name, scope)}"
        )
    if len(found) > 1:
        raise reference.at.error(
            f"{show(reference.name)} is the name of {len(found)} groups ({found[0].at.path} and "
            f"{found[1].at.path}); give each its own"
        )
    return found[0]
