"""Flux's own jobspec, version 1 (RFC 14, RFC 25), for one task.

As the `submit` RPC of flux-core 0.62 to 0.88 takes it; flux-core's JobspecV1 validates the same.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rainbow_agent.core.model import PlannedTask
from rainbow_agent.core.shape import Shape
from rainbow_agent.jobspec.document import Attributes, Script
from rainbow_agent.jobspec.groupfile import from_data, to_data
from rainbow_agent.runtime.own_program import own_program


@dataclass(frozen=True)
class Programs:
    """How the agent's own programs are run in jobs.

    The interpreter has the same path on every node: all pods of a MiniCluster run one image.
    """

    python: str = sys.executable
    shared_fs: str = "auto"  # RAINBOW_SHARED_FS: auto, yes or no

    def group_runner(self, file: str) -> tuple[str, ...]:
        """The program of a group's instance; `file` has its plan (jobspec/groupfile.py)."""
        return own_program("rainbow_agent.jobs.groups", file, python=self.python)

    def stage(self, paths: Sequence[str]) -> tuple[str, ...]:
        """The program that puts files and folders on every node of its instance."""
        shared = f"--shared-fs={self.shared_fs}"
        module = "rainbow_agent.jobs.groups.stage"
        return own_program(module, shared, "--", *paths, python=self.python)


_SLOT = "task"  # the label that joins a task to its slot; Flux's own tools use the same
#: The file of a script task. `files` (RFC 14, since flux-core 0.51) puts it into a folder of the
#: job on every node, so nothing is needed of a shared disk; `{{tmpdir}}` is that folder. With
#: `-c` instead, the job shell would expand the script's own `{{...}}`.
_SCRIPT = "rainbow-script"
_SCRIPT_MODE = 0o100700
#: The file of a group, likewise.
_GROUP = "rainbow-group"
_GROUP_MODE = 0o100600
#: Bytes of one word of a command, or of one variable with its name (MAX_ARG_STRLEN, less the zero
#: byte at its end; execve(2)), where pages have 4 KiB: 32 of them. With pages of 64 KiB, as many
#: arm64 and POWER machines have, it is 2 MiB; only the node that runs it knows.
MAX_WORD_BYTES = 128 * 1024 - 1
#: Bytes of all words and variables together, with a zero byte and a pointer for each: a quarter of
#: the stack's limit (execve(2)), which is 8 MiB almost everywhere.
MAX_WORDS_BYTES = 2 * 2**20
#: Bytes that the job shell keeps for a name between braces (flux-core, src/shell/mustache.c up to
#: 0.88). It does not look whether they fit: a longer one ends the job shell with SIGSEGV.
_MAX_TEMPLATE = 1023


def flux_jobspec(
    name: str, command: tuple[str, ...] | Script, shape: Shape, attributes: Attributes
) -> dict[str, Any]:
    """The jobspec of a task, complete but for dependencies and the host's environment.

    Args:
        name: of the task; it becomes the Flux job's.
        command: what runs in each slot.
        shape: the resources.
        attributes: those that hold for this task; its environment is all that is put in.
    """
    system: dict[str, Any] = {
        "duration": attributes.duration or 0,  # required; 0 is without limit
        "environment": dict(attributes.environment),
        "job": {"name": name},
    }
    if attributes.cwd is not None:
        system["cwd"] = attributes.cwd
    if attributes.queue is not None:
        system["queue"] = attributes.queue
    if isinstance(command, Script):
        words = [*command.interpreter, "{{tmpdir}}/" + _SCRIPT]
        system["files"] = {
            _SCRIPT: {"mode": _SCRIPT_MODE, "data": command.text, "encoding": "utf-8"}
        }
    else:
        words = list(command)
    return {
        "version": 1,
        "resources": [_resources(shape)],
        "tasks": [{"command": words, "slot": _SLOT, "count": {"per_slot": 1}}],
        "attributes": {"system": system},
    }


def group_jobspec(
    name: str,
    tasks: Sequence[PlannedTask],
    shape: Shape,
    attributes: Attributes,
    programs: Programs,
) -> dict[str, Any]:
    """The jobspec of a group: a nested instance over its resources (what `flux batch` submits).

    One broker runs on each node; the first runs the group's runner, which finds the tasks in a
    file of the job. The group's environment is its tasks', and stands in theirs: what it says of
    PATH or PYTHONHOME must not reach the broker, its scripts and the runner (docs/decisions/0080).

    Args:
        name: of the group in the plan.
        tasks: those in it.
        shape: the resources of all of it.
        attributes: those that hold for the group.
        programs: how the runner is started.
    """
    command = ("flux", "broker", *programs.group_runner("{{tmpdir}}/" + _GROUP))
    jobspec = flux_jobspec(name, command, shape, replace(attributes, environment={}))
    system = jobspec["attributes"]["system"]
    # As flux-core's Jobspec.from_nest_command: one broker a node, which is not an MPI program, and
    # whose end is not the end of the others.
    system["shell"] = {
        "options": {"per-resource": {"type": "node"}, "mpi": "none", "exit-timeout": "none"}
    }
    return with_tasks(jobspec, name, tasks)


def with_tasks(
    jobspec: Mapping[str, Any], name: str, tasks: Sequence[PlannedTask]
) -> dict[str, Any]:
    """A group's jobspec with these tasks in it."""
    # Without an encoding the data is the file's JSON (RFC 37): nothing is quoted in quotes in
    # groups in groups.
    file = {"mode": _GROUP_MODE, "data": to_data(name, tasks)}
    attributes = jobspec["attributes"]
    system = {**attributes["system"], "files": {_GROUP: file}}
    return {**jobspec, "attributes": {**attributes, "system": system}}


def tasks_within(jobspec: Mapping[str, Any]) -> tuple[str, tuple[PlannedTask, ...]]:
    """The group in a group's jobspec: its name and tasks.

    Raises:
        JobspecError: it is damaged, or another version's.
    """
    return from_data(jobspec["attributes"]["system"]["files"][_GROUP]["data"])


def _resources(shape: Shape) -> dict[str, Any]:
    contents = [{"type": "core", "count": shape.cores}]
    if shape.gpus:
        contents.append({"type": "gpu", "count": shape.gpus})
    slot = {"type": "slot", "count": shape.slots, "label": _SLOT, "with": contents}
    if not shape.nodes:
        return slot
    node: dict[str, Any] = {"type": "node", "count": shape.nodes, "with": [slot]}
    if shape.exclusive:
        node["exclusive"] = True
    return node


def too_much(jobspec: Mapping[str, Any]) -> int:
    """The bytes of a jobspec's words and variables, where they are beyond MAX_WORDS_BYTES; or 0."""
    (task,) = jobspec["tasks"]
    command, environment = task["command"], jobspec["attributes"]["system"]["environment"]
    texts = (*command, *environment, *environment.values())
    # A zero byte and a pointer for each, and `=` between a variable and its value.
    around = 9 * (len(command) + len(environment)) + len(environment)
    if 4 * sum(map(len, texts)) + around <= MAX_WORDS_BYTES:  # a character has at most 4 bytes
        return 0
    size = sum(len(text.encode()) for text in texts) + around
    return size if size > MAX_WORDS_BYTES else 0


def templates(word: str) -> Iterator[str]:
    """What stands between `{{` and `}}` in a word of a command, as Flux's job shell finds it."""
    start = word.find("{{")
    while start >= 0:
        end = word.find("}}", start + 2)
        if end < 0:
            return
        yield word[start + 2 : end]
        start = word.find("{{", end + 2)


def is_fatal(template: str) -> bool:
    """Whether a template is so long that Flux's job shell crashes on it."""
    return len(template.encode()) > _MAX_TEMPLATE
