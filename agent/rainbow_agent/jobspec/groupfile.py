"""A group's tasks as the JSON that travels in its Flux job, and back: the runner's whole input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rainbow_agent.errors import JobspecError
from rainbow_agent.model import PlannedTask, TaskKind

VERSION = 1


def to_data(group: str, tasks: Sequence[PlannedTask]) -> dict[str, Any]:
    """The tasks of a group. What is in a group below stands in that one's own jobspec."""
    return {"version": VERSION, "group": group, "tasks": [_to_entry(task) for task in tasks]}


def _to_entry(task: PlannedTask) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": task.name, "jobspec": task.jobspec}
    if task.kind is not TaskKind.JOB:
        entry["kind"] = task.kind.value
    if task.replicas > 1:
        entry["replicas"] = task.replicas
    if task.depends_on:
        entry["depends_on"] = list(task.depends_on)
    if task.after:
        entry["after"] = list(task.after)
    return entry


def from_data(data: Any) -> tuple[str, tuple[PlannedTask, ...]]:
    """A group's name and its tasks.

    Raises:
        JobspecError: it is of another version of the agent, or damaged.
    """
    if not isinstance(data, Mapping) or data.get("version") != VERSION:
        raise JobspecError(
            f"the group's plan is not of version {VERSION}: the agent that submitted it and the "
            "one installed on this node differ; install the same on all nodes"
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
    )
