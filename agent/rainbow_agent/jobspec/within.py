"""What stands in a group stays within what the group has: resources, and time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rainbow_agent.core.shape import Shape, number
from rainbow_agent.jobspec.words import Spot


def check_within(child: Shape, parents: Sequence[Shape], at: Spot) -> None:
    """Return when a task (or group) fits into one of its group's alternatives.

    Cores and GPUs of whole nodes are not known before a node is: only nodes are compared then.

    Args:
        child: what it asks for.
        parents: what its group asks for; empty outside groups.
        at: where the child stands.

    Raises:
        JobspecError: it asks for more than the group has; with both numbers.
    """
    if not parents:
        return
    found = [next(_more(child, parent), None) for parent in parents]
    if all(found):
        raise at.error(
            f"asks for more than its group has: {found[0]}; ask for less, or give the group more"
        )


def check_limit(seconds: float | None, limit: float, at: Spot) -> None:
    """Return when a task's own limit is within its group's. 0, or None, means no limit.

    Raises:
        JobspecError: it is longer; with both numbers.
    """
    if limit and seconds and seconds > limit:
        raise at.error(
            f"may run for {seconds:g} s, and its group only for {limit:g} s; the group's end is "
            "the end of all in it: make `duration` shorter, or the group's longer"
        )


def _more(child: Shape, parent: Shape) -> Iterator[str]:
    """Of what the child wants more, each in words."""
    nodes = parent.nodes or parent.slots  # slots may be on as many nodes
    if child.nodes > nodes:
        yield f"{number(child.nodes, 'node')}, the group {_at_most(nodes, 'node', parent)}"
    if parent.exclusive:
        return
    for what, wanted, there in (
        ("core", child.cores, parent.cores),
        ("GPU", child.gpus, parent.gpus),
    ):
        one_node = _on_a_node(parent, there)
        if child.nodes and child.slots * wanted > one_node:
            yield (
                f"{number(child.slots * wanted, what)} on a node, the group "
                f"{_at_most(one_node, what, parent)}"
            )
        total, all_there = _total(child, wanted), _total(parent, there)
        if total > all_there:
            yield f"{number(total, what)}, the group {number(all_there, what)}"
        # A slot is on one node; those of the group are as large as it asked for.
        if wanted > one_node:
            yield f"{number(wanted, what)} on a node, the group {number(one_node, what)}"


def _total(shape: Shape, each: int) -> int:
    return (shape.nodes or 1) * shape.slots * each


def _on_a_node(shape: Shape, each: int) -> int:
    """The most that one node of the group can have: slots anywhere may all be on one."""
    return shape.slots * each


def _at_most(count: int, what: str, parent: Shape) -> str:
    return ("" if parent.nodes else "at most ") + number(count, what)
