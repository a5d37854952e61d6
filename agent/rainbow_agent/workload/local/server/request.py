"""A Flux jobspec (RFC 14, the version 1 of RFC 25) read strictly into what this server runs."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.model import Origin, TaskKey
from rainbow_agent.workload.local.server.staging import StagedFile, read_files

#: Processes of one job at most; a typo must not become a fork bomb.
MAX_JOB_TASKS = 4096
#: Counts above are typing errors, as are durations (seconds).
_MAX_COUNT = 2**31 - 1
_MAX_DURATION_S = 1e10
_RESOURCE_TYPES = ("node", "slot", "core", "gpu")
#: RFC 25 knows node, slot, and core or gpu below; deeper is not version 1.
_MAX_RESOURCE_DEPTH = 4
_JOB_ID = re.compile(r"[0-9]{1,20}")


class DependencyKind(str, Enum):
    """How the other job must end (RFC 26)."""

    AFTEROK = "afterok"
    AFTERNOTOK = "afternotok"
    AFTERANY = "afterany"

    def met(self, *, ok: bool) -> bool:
        """Whether a job that ended `ok` or not is what was waited for."""
        return self is DependencyKind.AFTERANY or ok is (self is DependencyKind.AFTEROK)


@dataclass(frozen=True)
class Dependency:
    """Wait for another job."""

    condition: DependencyKind
    job: int


@dataclass(frozen=True)
class Resources:
    """What a job takes while it runs, over all of its slots."""

    nodes: int = 0  # 0: does not say
    slots: int = 0
    cores: int = 0
    gpus: int = 0
    exclusive: bool = False  # whole nodes


@dataclass(frozen=True)
class JobRequest:
    """One job, ready to run."""

    resources: Resources
    command: tuple[str, ...]
    tasks: int = 1  # processes
    duration: float = 0.0  # seconds; 0: no limit
    cwd: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    dependencies: tuple[Dependency, ...] = ()
    constraints: Mapping[str, Any] | None = None
    files: tuple[StagedFile, ...] = ()
    key: TaskKey | None = None
    group: bool = False  # a group of ours: the journal says so
    nest: bool = False  # `flux broker COMMAND`: the command runs in an instance of its own
    origin: Origin | None = None


def read_jobspec(jobspec: Any) -> JobRequest:
    """Read a jobspec.

    Args:
        jobspec: the decoded JSON of an RFC 14 jobspec, version 1.

    Raises:
        Rejected: it is not such a jobspec, or asks for what this server cannot do.
    """
    whole = _mapping(jobspec, "jobspec")
    if whole.get("version") != 1:
        raise Rejected(f"jobspec version {whole.get('version')!r} is not supported: expected 1")
    resources = read_resources(whole.get("resources"))
    task = _single_task(whole.get("tasks"))
    attributes = _mapping(whole.get("attributes") or {}, "attributes")
    system = _mapping(attributes.get("system") or {}, "attributes.system")
    user = _mapping(attributes.get("user") or {}, "attributes.user")
    constraints = system.get("constraints")
    command, nest = _initial_program(_command(task.get("command")))
    mark = user.get("rainbow")
    return JobRequest(
        resources=resources,
        command=command,
        tasks=1 if _one_a_node(system) else _task_count(task.get("count"), resources.slots),
        duration=_duration(system.get("duration", 0)),
        cwd=_text(system["cwd"], "attributes.system.cwd") if system.get("cwd") else None,
        environment=_environment(system.get("environment") or {}),
        dependencies=_dependencies(system.get("dependencies") or []),
        constraints=_mapping(constraints, "constraint") if constraints else None,
        files=read_files(system.get("files") or {}),
        key=TaskKey.from_attribute(mark),
        group=isinstance(mark, Mapping) and mark.get("group") is True,
        nest=nest,
        origin=Origin.from_attribute(mark),
    )


def read_resources(vertices: Any) -> Resources:
    """Add up a `resources` section.

    Raises:
        Rejected: it has no slot, no core, or something other than node, slot, core and gpu.
    """
    totals = dict.fromkeys(_RESOURCE_TYPES, 0)
    exclusive = _add_up(vertices, 1, totals, 0)
    if not totals["slot"]:
        raise Rejected("jobspec resources have no slot")
    if not totals["core"]:
        raise Rejected("jobspec resources have no core")
    return Resources(totals["node"], totals["slot"], totals["core"], totals["gpu"], exclusive)


def _add_up(vertices: Any, times: int, totals: dict[str, int], depth: int) -> bool:
    """Add vertices to totals, `times` each; whether one of them is exclusive."""
    if not isinstance(vertices, list) or not vertices:
        raise Rejected("jobspec resources must be a list that is not empty")
    if depth > _MAX_RESOURCE_DEPTH:
        raise Rejected("jobspec resources are nested too deeply for version 1")
    exclusive = False
    for item in vertices:
        vertex = _mapping(item, "resource")
        kind = vertex.get("type")
        if kind not in _RESOURCE_TYPES:
            raise Rejected(f"unsupported resource type {kind!r}: expected node, slot, core or gpu")
        number = times * _number(
            vertex.get("count"), f"{kind} count", least=0 if kind == "gpu" else 1
        )
        totals[kind] += number
        exclusive |= vertex.get("exclusive") is True
        if vertex.get("with"):
            exclusive |= _add_up(vertex["with"], number, totals, depth + 1)
    return exclusive


def _single_task(tasks: Any) -> Mapping[str, Any]:
    if not isinstance(tasks, list) or len(tasks) != 1:
        raise Rejected("jobspec must have exactly one task (RFC 25)")
    return _mapping(tasks[0], "task")


def _task_count(count: Any, slots: int) -> int:
    count = _mapping(count, "task count")
    if set(count) == {"per_slot"}:
        tasks = slots * _number(count["per_slot"], "per_slot")
    elif set(count) == {"total"}:
        tasks = _number(count["total"], "total")
    else:
        raise Rejected("task count must have exactly one of per_slot and total")
    if tasks > MAX_JOB_TASKS:
        raise Rejected(
            f"{tasks} tasks in one job are more than the {MAX_JOB_TASKS} that can be run"
        )
    return tasks


def _command(command: Any) -> tuple[str, ...]:
    if not isinstance(command, list) or not command:
        raise Rejected("task command must be a list of words that is not empty")
    words = tuple(_text(word, "task command") for word in command)
    if not words[0]:
        raise Rejected("task command begins with an empty word")
    return words


def _initial_program(command: tuple[str, ...]) -> tuple[tuple[str, ...], bool]:
    """What `flux broker` is to run, and whether the command is of that kind.

    This server has no brokers: a job that starts one gets a local instance over its cores.
    """
    if command[:2] != ("flux", "broker"):
        return command, False
    words = command[2:]
    while words and words[0].startswith("-"):
        words = words[1:]
    if not words:
        raise Rejected("`flux broker` without a program to run in it")
    return words, True


def _one_a_node(system: Mapping[str, Any]) -> bool:
    """Whether the job shell is to run one task a node, however many slots there are."""
    value: Any = system
    for name in ("shell", "options", "per-resource", "type"):
        value = value.get(name) if isinstance(value, Mapping) else None
    return bool(value == "node")


def _duration(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Rejected("attributes.system.duration must be a number of seconds")
    if not 0 <= value <= _MAX_DURATION_S:  # not a number (NaN) is refused here, too
        raise Rejected(f"attributes.system.duration {value} is not a length of time")
    return float(value)


def _environment(value: Any) -> dict[str, str]:
    environment = {}
    for name, content in _mapping(value, "attributes.system.environment").items():
        if not name or "=" in name:
            raise Rejected(f"environment variable name {name!r} cannot be used")
        where = f"environment variable {name!r}"
        environment[_text(name, where)] = _text(content, where)
    return environment


def _dependencies(value: Any) -> tuple[Dependency, ...]:
    if not isinstance(value, list):
        raise Rejected("attributes.system.dependencies must be a list")
    return tuple(_dependency(_mapping(item, "dependency")) for item in value)


def _dependency(item: Mapping[str, Any]) -> Dependency:
    scheme, target = item.get("scheme"), item.get("value")
    try:
        condition = DependencyKind(scheme)
    except ValueError as exc:
        raise Rejected(f'dependency scheme "{scheme}" not supported') from exc
    if not isinstance(target, str) or not _JOB_ID.fullmatch(target):
        raise Rejected(f"dependency: {scheme}: {target!r} is not a job id")
    return Dependency(condition, int(target))


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Rejected(f"{what} must be a JSON object")
    return value


def _number(value: Any, what: str, *, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _MAX_COUNT:
        raise Rejected(f"{what} must be an integer of at least {least}, got {value!r:.50}")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise Rejected(f"{what} must be a string, got {type(value).__name__}")
    if "\0" in value:
        raise Rejected(f"{what} has a NUL character, which no process can be given")
    try:
        os.fsencode(value)
    except UnicodeEncodeError as exc:
        raise Rejected(f"{what} has a character that no process can be given: {exc}") from exc
    return value
