"""A plan on the nodes of one site: which alternative is taken, and on which nodes it may run.

Not a part of planning: the same text always gives the same plan, while nodes come, go and change
(docs/decisions/0021). It is done when a job is accepted for running here, and again for what was
not submitted before a crash.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rainbow_agent.errors import JobspecError
from rainbow_agent.idset import idset
from rainbow_agent.jobspec.words import show, suggestion
from rainbow_agent.model import Plan, PlannedTask
from rainbow_agent.needs import Need, Option
from rainbow_agent.shape import Shape, number
from rainbow_agent.site import Site, SiteNode

#: Different values that a refusal tells of one element.
_TOLD = 4


class Unplaceable(JobspecError):
    """No node of this cluster, up or down, can run a task as it is written."""


@dataclass(frozen=True)
class Place:
    """How an option fits this site."""

    nodes: tuple[SiteNode, ...]  # that pass `requires`, up or down
    fits: bool  # there is room on them
    now: bool  # and on those that are up
    problem: str = ""  # when it does not fit


def needs_site(plan: Plan) -> bool:
    """Whether place() would do anything."""
    return any(task.options for task in plan.tasks)


def place(plan: Plan, site: Site) -> Plan:
    """The plan with one option chosen for each task, and its nodes in the Flux jobspec.

    Of several options the first is taken that fits on the nodes that are up; else the first that
    fits when those that are down come back.

    Raises:
        Unplaceable: a task has no such option; with what was asked and what there is.
    """
    places = Places(site)
    return replace(plan, tasks=tuple(_placed(task, places) for task in plan.tasks))


class Places:
    """Options on one site; what is asked twice is looked up once."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._known: dict[tuple[Shape, object, str], Place] = {}

    def of(self, option: Option) -> Place:
        """How an option fits."""
        key = (option.shape, option.choices, option.where)
        if key not in self._known:
            self._known[key] = _look(option, self._site)
        return self._known[key]

    def choose(self, options: tuple[Option, ...]) -> tuple[Option, Place]:
        """The option to take, of one or more.

        Raises:
            Unplaceable: none fits.
        """
        found = [(option, self.of(option)) for option in options]
        for option, there in found:
            if there.now:
                return option, there
        for option, there in found:
            if there.fits:
                return option, there
        raise Unplaceable("; and ".join(dict.fromkeys(there.problem for _, there in found)))


def _placed(task: PlannedTask, places: Places) -> PlannedTask:
    if not task.options:
        return task
    option, there = places.choose(task.options)
    jobspec = option.jobspec
    if option.choices:
        jobspec = _constrained(jobspec, idset(node.rank for node in there.nodes))
    return replace(task, jobspec=jobspec, options=())


def _constrained(jobspec: Mapping[str, Any], ranks: str) -> dict[str, Any]:
    """A Flux jobspec whose nodes are these broker ranks (RFC 31). Hostnames may be shared."""
    attributes = dict(jobspec["attributes"])
    attributes["system"] = {**attributes["system"], "constraints": {"ranks": [ranks]}}
    return {**jobspec, "attributes": attributes}


def _look(option: Option, site: Site) -> Place:
    nodes = tuple(site.passing(option.choices))
    shape = option.shape
    room = shape.placed_on(node.size for node in nodes)
    now = shape.placed_on(node.size for node in nodes if node.up)
    if room >= shape.wanted:
        return Place(nodes, fits=True, now=now >= shape.wanted)
    problem = _no_room(option, nodes, room, site) if nodes else _nobody(option, site)
    return Place(nodes, fits=False, now=False, problem=problem)


def _nobody(option: Option, site: Site) -> str:
    """Why no node passes `requires`: of each list of needs the first that nobody meets."""
    return "; nor ".join(dict.fromkeys(_nobody_meets(needs, site) for needs in option.choices))


def _nobody_meets(needs: tuple[Need, ...], site: Site) -> str:
    for need in needs:
        if need.subsystem not in site.names():
            return (
                f"{need.where}: no node here has a subsystem {show(need.subsystem)}; "
                + suggestion(need.subsystem, site.names())
            )
        if not site.meeting(need):
            return f"{need.where}: no node here has {_told(need)}; {_instead(need, site)}"
    each = ", ".join(
        f"{number(len(site.meeting(need)), 'node')} for {_told(need)}" for need in needs
    )
    return f"{needs[0].where}: no node here meets all that is required together ({each})"


def _told(need: Need) -> str:
    """What was asked: `'ior' from 3.0.0 to 4.0.0 (subsystem 'spack')`."""
    exact = need.value if need.attribute else need.equals
    bounds = [f"from {show(need.low)}"] if need.low else []
    bounds += [f"up to {show(need.high)}"] if need.high else []
    what = " ".join([show(need.key), *([f"= {show(exact)}"] if exact else []), *bounds])
    kind = f" of a {show(need.equals)}" if need.attribute and need.equals else ""
    return f"{what}{kind} in subsystem {show(need.subsystem)}"


def _instead(need: Need, site: Site) -> str:
    """What the nodes have in the place of what was asked."""
    counts: Counter[str] = Counter()
    for node in site.nodes:
        found = need.candidates(site.offers(node, need.subsystem))
        if node.traits is None and not found:
            counts["not described"] += 1
        else:
            counts[_values(found) if found else f"without {show(need.key)}"] += 1
    return "there: " + ", ".join(f"{number(n, 'node')} {what}" for what, n in counts.most_common())


def _values(found: list[str]) -> str:
    more = f" and {len(found) - _TOLD} more" if len(found) > _TOLD else ""
    return "with " + ", ".join(map(show, found[:_TOLD])) + more


def _no_room(option: Option, nodes: tuple[SiteNode, ...], room: int, site: Site) -> str:
    word = "node" if option.shape.nodes else "slot"
    passing = (
        f"{number(len(nodes), 'node')} of {len(site.nodes)} met `requires`"
        if option.choices
        else f"there are {number(len(nodes), 'node')}"
    )
    sizes = Counter(node.size for node in nodes)
    has = ", ".join(
        f"{number(count, 'node')} with {number(cores, 'core')}"
        + (f" and {number(gpus, 'GPU')}" if gpus else "")
        for (cores, gpus), count in sizes.most_common(_TOLD)
    )
    return (
        f"{option.where}: {option.shape} asked for; {passing}, with room for "
        f"{number(room, word)} ({has})"
    )
