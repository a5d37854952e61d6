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
    cores: int | None = None,
    gpus: int | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """A jobspec nextgen, version 1, with one task.

    The command runs once on each node. It asks by `count`, below a node, which rainbow's matcher
    compares with the cluster's nodes; `replicas` would make it look for slots.

    Args:
        command: the program and its arguments.
        nodes: how many; None is one node, of which only cores and gpus are taken. A number alone,
            with neither cores nor gpus, means whole nodes, as `flux submit -N` does.
        cores: on each node; None is 1.
        gpus: on each node; None is none.
        name: of the job and its task; None is the program's.

    Raises:
        UsageError: no command, or a number below 1 or beyond what can be counted.
    """
    if not command or not command[0]:
        raise UsageError("no command to submit: write it after `--`, such as -- hostname")
    for option, number in (("--nodes", nodes), ("--cores", cores), ("--gpus", gpus)):
        if number is not None and not 1 <= number <= MAX_COUNT:
            raise UsageError(f"{option} {number}: use 1 to {MAX_COUNT}, or leave the option out")
    node: dict[str, Any] = {"type": "node", "count": nodes or 1}
    if nodes is None or cores is not None or gpus is not None:
        node["with"] = [{"type": "core", "count": cores or 1}]
        if gpus is not None:
            node["with"].append({"type": "gpu", "count": gpus})
    title = name or _program_name(command[0])
    return {
        "version": 1,
        "name": title,
        "resources": {_RESOURCES: node},
        "tasks": [{"name": title, "command": list(command), "resources": _RESOURCES}],
    }


def _program_name(program: str) -> str:
    """The last part of a program's path, fit to be a name."""
    text = "".join(c if c.isprintable() else "_" for c in PurePath(program).name)
    return text[:MAX_NAME] or "command"
