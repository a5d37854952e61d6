"""A group's tasks as the JSON that travels in its Flux job, and back: the runner's whole input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.model import PlannedTask, TaskKind
from rainbow_agent.core.requirements import Option
from rainbow_agent.core.shape import Shape

GROUP_FILE_VERSION = 1


def to_data(group: str, tasks: Sequence[PlannedTask]) -> dict[str, Any]:
    """The tasks of a group. What is in a group below stands in that one's own jobspec."""
    return {
        "version": GROUP_FILE_VERSION,
        "group": group,
        "tasks": [_to_entry(task) for task in tasks],
    }


def _to_entry(task: PlannedTask) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": task.name, "jobspec": task.jobspec}
    if task.kind is not TaskKind.JOB:
        entry["kind"] = task.kind.value
    if task.replicas > 1:
        entry["replicas"] = task.replicas
    if task.depends_on:
        entry["depends_on"] = list(task.depends_on)
    if task.watch:
        entry["watch"] = True
    if task.after:
        entry["after"] = list(task.after)
    if task.options:
        entry["options"] = [_to_option(option) for option in task.options]
    return entry


def from_data(data: Any) -> tuple[str, tuple[PlannedTask, ...]]:
    """A group's name and its tasks.

    Raises:
        JobspecError: it is of another version of the agent, or damaged.
    """
    if not isinstance(data, Mapping) or data.get("version") != GROUP_FILE_VERSION:
        raise JobspecError(
            f"the group's plan is not of version {GROUP_FILE_VERSION}: the agent that submitted it"
            " and the one installed on this node differ; install the same on all nodes"
        )
    try:
        return str(data["group"]), tuple(_from_entry(entry) for entry in data["tasks"])
    except (KeyError, TypeError, ValueError) as exc:
        raise JobspecError(f"the group's plan is damaged: {exc!r}") from exc


def _from_entry(entry: Mapping[str, Any]) -> PlannedTask:
    return PlannedTask(
        name=str(entry["name"]),
        replicas=int(entry.get("replicas", 1)),
        depends_on=tuple(entry.get("depends_on", ())),
        jobspec=dict(entry["jobspec"]),
        kind=TaskKind(entry.get("kind", TaskKind.JOB.value)),
        after=tuple(entry.get("after", ())),
        watch=entry.get("watch") is True,
        options=tuple(_from_option(option) for option in entry.get("options", ())),
    )


def _to_option(option: Option) -> dict[str, Any]:
    """An option as it is known where the group is submitted: which of its nodes pass."""
    shape = option.shape
    return {
        "resources": option.resources,
        "shape": [shape.nodes, shape.slots, shape.cores, shape.gpus, shape.exclusive],
        "jobspec": option.jobspec,
        "where": option.where,
        "ranks": None if option.ranks is None else list(option.ranks),
    }


def _from_option(entry: Mapping[str, Any]) -> Option:
    nodes, slots, cores, gpus, exclusive = entry["shape"]
    ranks = entry["ranks"]
    return Option(
        resources=str(entry["resources"]),
        shape=Shape(int(nodes), int(slots), int(cores), int(gpus), bool(exclusive)),
        jobspec=dict(entry["jobspec"]),
        where=str(entry["where"]),
        ranks=None if ranks is None else tuple(int(rank) for rank in ranks),
    )
