"""A plan as people and programs read it: `rainbow-agent run --dry-run`. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from rainbow_agent.core.model import Plan, PlannedTask, TaskKind
from rainbow_agent.core.notation import idset
from rainbow_agent.core.requirements import Need, Option
from rainbow_agent.core.shape import shape_in
from rainbow_agent.runtime.logs import clean, counted

#: Characters of a command that a line of text shows.
_MAX_TEXT_LENGTH = 200


def plan_view(plan: Plan) -> dict[str, Any]:
    """The object of `-o json` (docs/commands.md)."""
    return {
        "name": plan.name or None,
        "flux_jobs": sum(task.replicas for task in plan.tasks),
        "warnings": list(plan.warnings),
        "tasks": [_task_view(task) for task in plan.tasks],
    }


def _task_view(task: PlannedTask) -> dict[str, Any]:
    return {
        "name": task.name,
        "kind": task.kind.value,
        "replicas": task.replicas,
        "depends_on": list(task.depends_on),
        "after": list(task.after),
        "jobspec": task.jobspec,
        "alternatives": [
            {
                "resources": option.resources,
                "jobspec": option.jobspec,
                "requires": [[_need_view(need) for need in needs] for needs in option.choices],
                "ranks": None if option.ranks is None else list(option.ranks),
            }
            for option in task.options
        ],
        "tasks": [_task_view(inner) for inner in task.tasks],
    }


def _need_view(need: Need) -> dict[str, str]:
    found = {
        "name": need.subsystem,
        "field": need.field,
        "match": need.equals,
        "min": need.low,
        "max": need.high,
        "attribute": need.attribute,
        "value": need.value,
    }
    return {key: text for key, text in found.items() if text}


def plan_lines(plan: Plan) -> Iterator[str]:
    """The same as text: each task in the order in which it is submitted."""
    jobs = counted(sum(task.replicas for task in plan.tasks), "Flux job")
    title = f"plan of {plan.name}" if plan.name else "plan"
    yield clean(f"{title}: {counted(len(plan.tasks), 'task')}, {jobs}")
    yield from _tasks(plan.tasks, "")


def _tasks(tasks: tuple[PlannedTask, ...], indent: str) -> Iterator[str]:
    for number, task in enumerate(tasks, 1):
        yield indent + clean(f"{number}. {_headline(task)}")
        for key, value in _details(task):
            yield f"{indent}   {key:<10} {clean(value)}"
        yield from _tasks(task.tasks, indent + "   ")


def _headline(task: PlannedTask) -> str:
    parts = [task.name]
    if task.replicas > 1:
        parts.append(f"x {task.replicas}")
    if task.kind is not TaskKind.JOB:
        parts.append({"group": "(group)", "local": "(local, in its group's instance)"}[task.kind])
    if task.depends_on:
        parts.append("after " + ", ".join(task.depends_on))
    return " ".join(parts)


def _details(task: PlannedTask) -> Iterator[tuple[str, str]]:
    system: Mapping[str, Any] = task.jobspec["attributes"]["system"]
    if task.kind is not TaskKind.GROUP:
        words = shlex.join(task.jobspec["tasks"][0]["command"])
        yield "runs", words if len(words) <= _MAX_TEXT_LENGTH else words[:_MAX_TEXT_LENGTH] + "..."
    if task.kind is not TaskKind.LOCAL:
        for option in task.options:
            yield "either" if len(task.options) > 1 else "resources", _option_line(option)
        if not task.options:
            yield "resources", str(shape_in(task.jobspec))
    if constraints := system.get("constraints"):
        yield "nodes", "ranks " + ",".join(constraints["ranks"])
    if system.get("duration"):
        yield "limit", f"{system['duration']:g} s"
    if system.get("cwd"):
        yield "cwd", system["cwd"]
    yield "jobspec", json.dumps(_brief(task))


def _option_line(option: Option) -> str:
    """A way to run a task that is not chosen yet, with what it needs of its nodes."""
    line = f"{option.resources}: {option.shape}"
    if option.ranks is not None:
        return f"{line}, on those of ranks {idset(option.ranks)} that the group gets"
    needs = (
        json.dumps([_need_view(need) for need in needs], ensure_ascii=False)
        for needs in option.choices
    )
    return " or ".join([f"{line}, where {need}" for need in needs]) or line


def _brief(task: PlannedTask) -> Mapping[str, Any]:
    """A group's jobspec without the tasks in it, which follow."""
    if task.kind is not TaskKind.GROUP:
        return task.jobspec
    attributes = task.jobspec["attributes"]
    system = {key: value for key, value in attributes["system"].items() if key != "files"}
    return {**task.jobspec, "attributes": {**attributes, "system": system}}
