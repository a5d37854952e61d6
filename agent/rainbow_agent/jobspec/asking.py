"""From a plan to what rainbow's matcher is asked: the same that the cluster's agent will look at.

What the agent refuses because of its nodes must not be sent to them: rainbow has no way to give a
job back. So the questions are made of the shapes and needs of the plan, not of what is written.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from rainbow_agent.core.model import Plan, PlannedTask
from rainbow_agent.core.requirements import Need, Option, within
from rainbow_agent.core.shape import Shape, number, shape_in
from rainbow_agent.jobspec.questions import (
    ANY_VERSION,
    AllOf,
    AnyOf,
    Ask,
    IfStated,
    Nothing,
    Question,
    Versions,
    required,
)
from rainbow_agent.jobspec.unplaceable import asked

#: The subsystem of which rainbow_compspec writes a package's versions in fields of the node.
_PACKAGES: Final = "spack"
#: The subsystem in which a node says how large it is.
_SIZES: Final = "hardware"
#: What only vertices below the node's say, which the matcher does not look at.
_BELOW: Final = frozenset({"version", "hash", "compiler", "target"})
#: A node of any size.
_ANY_NODE: Final[Mapping[str, Any]] = {"type": "node", "count": 1}


def questions(plan: Plan) -> AllOf:
    """The clusters that can run every task of a plan; equal questions are there once."""
    plain = dict.fromkeys(shape_in(task.jobspec) for task in plan.tasks if not task.options)
    parts = [part for shape in plain for part in _shape(shape)]
    parts += [part for task in plan.tasks for part in _task(task)]
    return AllOf(_flat(parts))


def unasked(plan: Plan) -> tuple[Need, ...]:
    """The needs of a plan that cannot be put to the matcher, and so are no part of questions()."""
    every = (
        need for task, _ in plan.every_task() for option in task.options for need in _of(option)
    )
    return tuple(dict.fromkeys(need for need in every if _cannot_be_asked(need)))


def _of(option: Option) -> Iterator[Need]:
    for needs in option.choices:
        yield from needs


def _task(task: PlannedTask) -> Iterator[Question]:
    """A task between whose nodes there is a choice, and what the tasks in it require.

    The shapes of these lie within the group's.
    """
    if task.options:
        yield _any(_option(option) for option in task.options)
    for inner in task.tasks:
        yield from _inside(inner)


def _inside(task: PlannedTask) -> Iterator[Question]:
    if task.options:
        yield _any(_choices(option.choices, _ANY_NODE) for option in task.options)
    for inner in task.tasks:
        yield from _inside(inner)


def _option(option: Option) -> Question:
    node = _node(option.shape)
    return _all([*_shape(option.shape), _choices(option.choices, node)])


def _shape(shape: Shape) -> Iterator[Question]:
    """A node large enough for its part; and in all as much as is asked for.

    The matcher adds up what it finds below all nodes: it is asked for the total as well; and for
    the size of a node by what `hardware` says, where our agent describes the cluster.
    """
    slots = shape.slots if shape.nodes else 1
    large = Shape(shape.nodes or 1, 1, slots * shape.cores, slots * shape.gpus)
    yield Ask(_node(shape), str(large))
    for field, each in (("cpu.cores", large.cores), ("gpu.count", large.gpus)):
        if each > 1:
            what = str(replace(large, nodes=1))
            enough = required(_ANY_NODE, _SIZES, {"field": field, "min": str(each)}, what)
            stated = required(_ANY_NODE, _SIZES, {"field": field, "min": "0"}, what)
            yield IfStated(enough, stated)
    if shape.wanted == 1:
        return
    for kind, word, each in (("core", "core", large.cores), ("gpu", "GPU", large.gpus)):
        if each:
            total = shape.wanted * each
            yield Ask({"type": kind, "count": total}, f"{number(total, word)} in all")


def _node(shape: Shape) -> dict[str, Any]:
    """The nodes of a shape, or the node of one slot where these may be anywhere."""
    slots = shape.slots if shape.nodes else 1
    sizes = {"core": slots * shape.cores, "gpu": slots * shape.gpus}
    # Each node has a core; a graph need not say so.
    inside = [{"type": k, "count": n} for k, n in sizes.items() if n > (k == "core")]
    return {"type": "node", "count": shape.nodes or 1, **({"with": inside} if inside else {})}


def _choices(choices: Sequence[Sequence[Need]], node: Mapping[str, Any]) -> Question:
    """Nodes that meet all needs of one of the lists; all nodes where there is no list."""
    return _any(_needs(needs, node) for needs in choices) if choices else AllOf()


def _needs(needs: Sequence[Need], node: Mapping[str, Any]) -> Question:
    """Each need by itself; and those that take one entry together, for a matcher that counts."""
    parts = [_need(need, node) for need in needs if not _cannot_be_asked(need)]
    single = [part for part in parts if isinstance(part, Ask)]
    if len(single) > 1:
        together = [entry for part in single for entry in part.resource["requires"]]
        what = " and ".join(part.what for part in single) + " on the same nodes"
        parts.append(Ask({**node, "requires": together}, what))
    return _all(parts)


def _need(need: Need, node: Mapping[str, Any]) -> Question:
    what = asked(need)

    def has(entry: Mapping[str, str]) -> Ask:
        return required(node, need.subsystem, entry, what)

    if need.subsystem == _PACKAGES:
        return _package(need, node)
    parts = []
    if need.field and need.equals:
        parts.append(has({"field": need.field, "match": need.equals}))
    if need.attribute and need.value:
        parts.append(has({"field": need.key, "match": need.value}))
    if need.low or need.high:
        parts.append(has({"field": need.key, **_bounds(need)}))
    return _all(parts)


def _package(need: Need, node: Mapping[str, Any]) -> Question:
    """A need of spack, in the fields that rainbow_compspec.subsystems writes.

    `NAME` is the newest version, `NAME@VERSION: yes` stands for each, `NAME@: yes` for a package
    whose versions are none that can be compared.
    """
    what = asked(need)

    def has(entry: Mapping[str, str]) -> Ask:
        return required(node, need.subsystem, entry, what)

    kind = need.equals if need.field == "type" else ""
    exact = need.value if need.attribute else need.equals
    if kind not in ("", "package", _PACKAGES):
        return Nothing(what)
    if kind and not need.attribute:  # a package, whichever
        return has({"field": "type", "match": _PACKAGES})
    if need.key == "name":
        known, other = {"field": exact, **ANY_VERSION}, {"field": f"{exact}@", "match": "yes"}
        return AnyOf((has(known), has(other)))
    if kind == "package" or (exact and (need.low or need.high) and not _lies(exact, need)):
        return Nothing(what)
    if exact:
        newest = {"field": need.key, "match": exact}
        return AnyOf((has(newest), has({"field": f"{need.key}@{exact}", "match": "yes"})))
    return Versions(node, need.subsystem, need.key, _bounds(need), what)


def _lies(version: str, need: Need) -> bool:
    return within(version, need.low, need.high)


def _cannot_be_asked(need: Need) -> bool:
    """What stands on vertices that the matcher does not look at."""
    if need.subsystem != _PACKAGES:
        return False
    exact = need.value if need.attribute else need.equals
    return need.key in _BELOW or (need.key == "name" and not exact)


def _bounds(need: Need) -> dict[str, str]:
    bounds = {"min": need.low, "max": need.high}
    return {key: text for key, text in bounds.items() if text}


def _any(parts: Iterable[Question]) -> Question:
    found = _distinct(parts)
    return found[0] if len(found) == 1 else AnyOf(found)


def _all(parts: Sequence[Question]) -> Question:
    found = _flat(parts)
    return found[0] if len(found) == 1 else AllOf(found)


def _flat(parts: Sequence[Question]) -> tuple[Question, ...]:
    """The parts, those of an AllOf in the place of it."""
    return _distinct(
        p for part in parts for p in (part.parts if isinstance(part, AllOf) else (part,))
    )


def _distinct(parts: Iterable[Question]) -> tuple[Question, ...]:
    return tuple({repr(part): part for part in parts}.values())  # what they hold has no hash
