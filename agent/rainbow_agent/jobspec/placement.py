"""A plan on the nodes of one site: which alternative is taken, and on which nodes it may run.

Not a part of planning: the same text always gives the same plan, while nodes come, go and change
(docs/decisions/0021). It is done when a job is accepted for running here, and again for what was
not submitted before a crash.

What stands in a group is placed in two steps. Which nodes pass is looked up here, where they are
known, and travels with the group's tasks; which of them the group got, and which alternative fits
on those, only its own instance knows (place_inside).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from rainbow_agent.core.model import Plan, PlannedTask, TaskKind
from rainbow_agent.core.notation import idset
from rainbow_agent.core.requirements import Option
from rainbow_agent.core.shape import Shape, shape_in
from rainbow_agent.core.site import Site, SiteNode
from rainbow_agent.jobspec.fluxspec import tasks_within, with_tasks
from rainbow_agent.jobspec.unplaceable import Unplaceable, does_not_fit, no_node_passes


@dataclass(frozen=True)
class Fit:
    """How an option fits this site."""

    nodes: tuple[SiteNode, ...]  # that pass `requires`, up or down
    fits: bool  # it fits on them
    now: bool  # and on those that are up
    problem: str = ""  # when it does not fit

    @cached_property
    def ranks(self) -> str:
        """The nodes' ranks as an idset."""
        return idset(node.rank for node in self.nodes)


def needs_site(plan: Plan) -> bool:
    """Whether place() would do anything."""
    return any(task.options for task, _ in plan.every_task())


def place(plan: Plan, site: Site) -> Plan:
    """The plan with one option chosen for each task, and its nodes in the Flux jobspec.

    Of several options the first is taken that fits on the nodes that are up; else the first that
    fits when those that are down come back. A group gets nodes on which everything in it passes,
    where there are enough of them.

    Raises:
        Unplaceable: a task has no such option; with what was asked and what there is.
    """
    placer = _Placer(site)
    return replace(plan, tasks=tuple(placer.placed(task) for task in plan.tasks))


def place_inside(
    tasks: Sequence[PlannedTask], nodes: Sequence[SiteNode], outer: Sequence[int]
) -> tuple[PlannedTask, ...]:
    """The tasks of a group on the nodes of its instance.

    Args:
        tasks: as they travelled; ranks are those of the instance around this one.
        nodes: of this instance.
        outer: the rank around this instance of each of its ranks 0, 1, ...

    Raises:
        Unplaceable: none of the nodes that the group got can run one of them.
    """
    inner = {rank: new for new, rank in enumerate(outer)}
    placer = _Placer(Site(tuple(nodes)))
    return tuple(placer.placed(_renumbered(task, inner)) for task in tasks)


def judge_inside(task: PlannedTask, nodes: Sequence[SiteNode], outer: Sequence[int]) -> Verdict:
    """Whether a task of a group can run on some nodes of its instance; as of place_inside."""
    inner = {rank: new for new, rank in enumerate(outer)}
    return _Placer(Site(tuple(nodes))).verdict(_renumbered(task, inner))


class _Placer:
    """Tasks on one site; what is asked twice is looked up once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[tuple[Shape, object, object, str], Fit] = {}

    def placed(self, task: PlannedTask) -> PlannedTask:
        """A task with its option chosen; of a group's tasks, which nodes pass."""
        if not task.options:  # a group has some when something in it has
            return task
        if not _is_group(task):
            return self._settled(task, frozenset())
        inside = tuple(self._narrowed(inner) for inner in task.tasks or _within(task))
        wanted = frozenset(ranks for inner in inside for ranks in _passing(inner))
        return _with_inside(self._settled(task, wanted), inside)

    def verdict(self, task: PlannedTask) -> Verdict:
        """Whether a task can run here."""
        shape = shape_in(task.jobspec)
        options = task.options or (Option("", shape, task.jobspec, where=task.name),)
        try:
            option, there = self._choose(options)
            self.placed(task)
        except Unplaceable as exc:
            there = self._of(options[0])
            return Verdict(task.name, options[0], there.nodes, now=False, problem=str(exc))
        return Verdict(task.name, option, there.nodes, there.now)

    def _settled(self, task: PlannedTask, wanted: frozenset[frozenset[int]]) -> PlannedTask:
        if not task.options:
            return task
        option, there = self._choose(task.options)
        nodes, ranks = there.nodes, there.ranks
        better = [n for n in nodes if all(n.rank in each for each in wanted)] if wanted else []
        if better and _pieces(option.shape, better) >= option.shape.wanted:
            nodes, ranks = tuple(better), idset(node.rank for node in better)
        jobspec = option.jobspec
        if option.choices or option.ranks is not None or len(nodes) < len(self._site.nodes):
            jobspec = _constrained(jobspec, ranks)
        return replace(task, jobspec=jobspec, options=())

    def _narrowed(self, task: PlannedTask) -> PlannedTask:
        """A task in a group: its options that some node passes, with these nodes."""
        options = tuple(replace(option, **self._looked_up(option)) for option in task.options)
        left = tuple(o for o in options if o.ranks is None or o.ranks)
        if options and not left:
            problems = (no_node_passes(option, self._site) for option in task.options)
            raise Unplaceable("; and ".join(dict.fromkeys(problems)))
        narrowed = replace(task, options=left)
        if not options or not _is_group(task):
            return narrowed
        inside = tuple(self._narrowed(inner) for inner in task.tasks or _within(task))
        return _with_inside(narrowed, inside)

    def _looked_up(self, option: Option) -> dict[str, Any]:
        if not option.choices:
            return {}
        return {"ranks": tuple(node.rank for node in self._of(option).nodes), "choices": ()}

    def _choose(self, options: tuple[Option, ...]) -> tuple[Option, Fit]:
        found = [(option, self._of(option)) for option in options]
        for option, there in found:
            if there.now:
                return option, there
        for option, there in found:
            if there.fits:
                return option, there
        raise Unplaceable("; and ".join(dict.fromkeys(there.problem for _, there in found)))

    def _of(self, option: Option) -> Fit:
        key = (option.shape, option.choices, option.ranks, option.where)
        if key not in self._known:
            self._known[key] = _look(option, self._site)
        return self._known[key]


def _look(option: Option, site: Site) -> Fit:
    nodes = tuple(
        node
        for node in site.passing(option.choices)
        if option.ranks is None or node.rank in option.ranks
    )
    wanted = option.shape.wanted
    pieces = _pieces(option.shape, nodes)
    if pieces >= wanted:
        up = [node for node in nodes if node.up]
        now = pieces if len(up) == len(nodes) else _pieces(option.shape, up)
        return Fit(nodes, fits=True, now=now >= wanted)
    problem = does_not_fit(option, nodes, pieces, site) if nodes else no_node_passes(option, site)
    return Fit(nodes, fits=False, now=False, problem=problem)


def _pieces(shape: Shape, nodes: Iterable[SiteNode]) -> int:
    return shape.placed_on((node.cores, node.gpus) for node in nodes)


def _constrained(jobspec: Mapping[str, Any], ranks: str) -> dict[str, Any]:
    """A Flux jobspec whose nodes are these broker ranks (RFC 31). Hostnames may be shared."""
    attributes = dict(jobspec["attributes"])
    attributes["system"] = {**attributes["system"], "constraints": {"ranks": [ranks]}}
    return {**jobspec, "attributes": attributes}


def _within(task: PlannedTask) -> tuple[PlannedTask, ...]:
    """The tasks of a group that came in a file: they stand in its jobspec only."""
    return tasks_within(task.jobspec)[1]


def _with_inside(task: PlannedTask, inside: tuple[PlannedTask, ...]) -> PlannedTask:
    """A group with these tasks, in each of its options."""
    options = tuple(
        replace(option, jobspec=with_tasks(option.jobspec, task.name, inside))
        for option in task.options
    )
    jobspec = with_tasks(task.jobspec, task.name, inside)
    return replace(task, jobspec=jobspec, tasks=inside if task.tasks else (), options=options)


def _is_group(task: PlannedTask) -> bool:
    return task.kind is TaskKind.GROUP


def _passing(task: PlannedTask) -> list[frozenset[int]]:
    """Of a task in a group, and of all in it: the ranks that pass, where any are asked for."""
    found = []
    if task.options and all(option.ranks is not None for option in task.options):
        found.append(frozenset(rank for option in task.options for rank in option.ranks or ()))
    inside = task.tasks or (_within(task) if _is_group(task) else ())
    return found + [ranks for inner in inside for ranks in _passing(inner)]


def _renumbered(task: PlannedTask, inner: Mapping[int, int]) -> PlannedTask:
    """A task whose ranks are those of the instance that it is in, at every depth below."""
    options = tuple(
        option
        if option.ranks is None
        else replace(option, ranks=tuple(inner[rank] for rank in option.ranks if rank in inner))
        for option in task.options
    )
    task = replace(task, options=options)
    if not options or not _is_group(task):
        return task
    return _with_inside(task, tuple(_renumbered(each, inner) for each in _within(task)))


@dataclass(frozen=True)
class Verdict:
    """Whether a task can run on a site, and where."""

    task: str
    option: Option  # that would be taken; of several that all do not fit, the first
    nodes: tuple[SiteNode, ...]  # that pass what it requires, up or down
    now: bool  # it fits on those that are up
    problem: str = ""  # why it cannot run; "" when it can


def judge(plan: Plan, site: Site) -> tuple[Verdict, ...]:
    """Each task of the top level, a group with what is in it: place() without ending at the first.

    What asks nothing of the nodes is counted as well: it must fit.
    """
    placer = _Placer(site)
    return tuple(placer.verdict(task) for task in plan.tasks)
