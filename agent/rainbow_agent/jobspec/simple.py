"""A jobspec for one command line: what `rainbow-agent submit -- COMMAND` sends."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from rainbow_agent.core.errors import UsageError
from rainbow_agent.jobspec.reading import MAX_COUNT, MAX_NAME

_RESOURCES = "main"


def simple_jobspec(
    command: Sequence[str],
    *,
    nodes: int | None = None,
    tasks: int | None = None,
    cores: int | None = None,
    gpus: int | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """A jobspec nextgen, version 1, with one task.

    It asks by `count`, below a node, which rainbow's matcher compares with the cluster's nodes,
    wherever that says the same.

    Args:
        command: the program and its arguments.
        nodes: how many; None is one node, of which only cores and gpus are taken. A number alone,
            with neither cores nor gpus, means whole nodes, as `flux submit -N` does.
        tasks: how often the command runs; None is once on each node. Without `nodes` they may be
            anywhere, also on one node; with it, as many on each.
        cores: for each time that it runs; None is 1.
        gpus: for each time that it runs; None is none.
        name: of the job and its task; None is the program's.

    Raises:
        UsageError: no command, a number below 1 or beyond what can be counted, or tasks that cannot
            be spread evenly.
    """
    if not command or not command[0]:
        raise UsageError("no command to submit: write it after `--`, such as -- hostname")
    counts = (("--nodes", nodes), ("--tasks", tasks), ("--cores", cores), ("--gpus", gpus))
    for option, number in counts:
        if number is not None and not 1 <= number <= MAX_COUNT:
            raise UsageError(f"{option} {number}: use 1 to {MAX_COUNT}, or leave the option out")
    node = _node(nodes, tasks, cores, gpus)
    title = name or _program_name(command[0])
    return {
        "version": 1,
        "name": title,
        "resources": {_RESOURCES: node},
        "tasks": [{"name": title, "command": list(command), "resources": _RESOURCES}],
    }


def _node(
    nodes: int | None, tasks: int | None, cores: int | None, gpus: int | None
) -> dict[str, Any]:
    """The nodes, and what of each."""
    inside: list[dict[str, Any]] = [{"type": "core", "count": cores or 1}]
    if gpus is not None:
        inside.append({"type": "gpu", "count": gpus})
    if nodes is None and tasks is not None:
        return {"type": "node", "replicas": tasks, "with": inside}
    node: dict[str, Any] = {"type": "node", "count": nodes or 1}
    if tasks is not None and nodes is not None and tasks != nodes:
        if tasks % nodes:
            raise UsageError(
                f"--tasks {tasks} cannot be spread evenly over --nodes {nodes}: use a multiple of"
                " it, or leave --nodes out"
            )
        if inside == [{"type": "core", "count": 1}]:
            return {**node, "with": [{"type": "core", "replicas": tasks // nodes}]}
        return {**node, "with": [{"type": "slot", "count": tasks // nodes, "with": inside}]}
    whole = tasks is None and cores is None and gpus is None and nodes is not None
    return node if whole else {**node, "with": inside}


def _program_name(program: str) -> str:
    """The last part of a program's path, fit to be a name."""
    text = "".join(c if c.isprintable() else "_" for c in PurePath(program).name)
    return text[:MAX_NAME] or "command"
