"""Reading `attributes` and `requires`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from rainbow_agent.jobspec.composer import ListNode, Node, ScalarNode
from rainbow_agent.jobspec.document import NO_ATTRIBUTES, Attributes, Reference, Requirement
from rainbow_agent.jobspec.handle import HANDLE_ATTRIBUTE
from rainbow_agent.jobspec.once import ONCE_ATTRIBUTE as ONCE
from rainbow_agent.jobspec.reading import (
    Faults,
    Fields,
    Item,
    T,
    as_boolean,
    as_entries,
    as_items,
    as_name,
    as_text,
    kind,
    spot,
)
from rainbow_agent.jobspec.words import key_path, nearest, show
from rainbow_agent.runtime.beneath import is_beneath

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"((?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(ms|s|m|h|d)?", re.ASCII)
_UNLIMITED = frozenset({"inf", "infinity", "INF", "INFINITY"})

#: What to write, for error messages.
EXAMPLES = "write seconds, or a number with ms, s, m, h or d: 300, 300s, 5m, 0.5h, 1d"


def parse_duration(text: str) -> float | None:
    """Seconds in a duration; 0 for one without limit; None when it is not a duration.

    Args:
        text: for example `300`, `300s`, `5m`, `0.5h`, `1d`, `infinity`.
    """
    if text in _UNLIMITED:
        return 0.0
    match = _DURATION.fullmatch(text)
    if match is None:
        return None
    seconds = float(match[1]) * _UNITS[match[2] or "s"]
    return seconds if math.isfinite(seconds) else None


#: The files that the job's sender may fetch, of the whole jobspec only.
RESULTS_ATTRIBUTE = "results"
KNOWN_ATTRIBUTES = ("duration", "cwd", "environment", "watch", "queue", ONCE, RESULTS_ATTRIBUTE)
#: Patterns that a job may name as its results.
MAX_RESULTS = 100
#: What other tools call them. Taking one for a foreign attribute would run the job without it.
_SYNONYMS = {
    "env": "environment",
    "vars": "environment",
    "chdir": "cwd",
    "dir": "cwd",
    "workdir": "cwd",
    "working_directory": "cwd",
    "limit": "duration",
    "time": "duration",
    "time_limit": "duration",
    "timeout": "duration",
    "walltime": "duration",
    "partition": "queue",
}
_KNOWN_NEEDS = ("name", "field", "match", "min", "max", "attribute", "value")


def read_attributes(parent: Fields) -> Attributes:
    """The `attributes` of a mapping; empty ones when it has none.

    An unknown attribute is kept by name, since other transformers have their own, unless it is
    another word for a known one, or looks like a misspelling.
    """
    if "environment" in parent:  # beside `attributes`, as an example of the specification has it
        beside = parent.read("environment", _environment) or {}
        return _read_attributes(parent).over(Attributes(environment=beside))
    return _read_attributes(parent)


def _read_attributes(parent: Fields) -> Attributes:
    if "attributes" not in parent:
        return NO_ATTRIBUTES
    faults = parent.faults
    values: dict[str, Item] = {}
    unknown: list[Reference] = []
    for key, value, path in parent.entries("attributes"):
        if isinstance(value, ScalarNode) and value.is_null:
            continue
        if key.text in KNOWN_ATTRIBUTES:
            values[key.text] = (value, path)
        elif key.text == HANDLE_ATTRIBUTE:
            continue  # of the text's last line, where it is one (jobspec/handle.py)
        elif (reference := faults.attempt(_unknown, key, path)) is not None:
            unknown.append(reference)

    def read(name: str, how: Callable[[Node, str], T]) -> T | None:
        return faults.attempt(how, *values[name]) if name in values else None

    cwd = read("cwd", _cwd)

    def results(node: Node, path: str) -> tuple[str, ...]:
        return _results(node, path, cwd, whole_job=not parent.path)

    return Attributes(
        duration=read("duration", _duration),
        cwd=cwd,
        environment=read("environment", _environment) or {},
        watch=read("watch", as_boolean),
        queue=read("queue", as_name),
        once=read(ONCE, as_name if not parent.path else _misplaced_key),
        results=read(RESULTS_ATTRIBUTE, results) or (),
        unknown=tuple(unknown),
    )


def _results(node: Node, path: str, cwd: str | None, *, whole_job: bool) -> tuple[str, ...]:
    """Patterns of files below the job's `cwd`."""
    if not whole_job:
        raise spot(node, path).error(
            "`results` are those of the whole job; write them under `attributes` at the top level"
        )
    if cwd is None or not cwd.startswith("/"):
        raise spot(node, path).error(
            "results are found below `cwd`, which has to be a path from the root here; add it to"
            " `attributes` at the top level"
        )
    items = as_items(node, path)
    if len(items) > MAX_RESULTS:
        raise spot(node, path).error(f"these are more than {MAX_RESULTS} patterns; use `*`, `**`")
    patterns = []
    for item, where in items:
        text = as_text(item, where)
        if not is_beneath(text):
            raise spot(item, where).error(
                f"{show(text)} is not a pattern of files below `cwd`; write one such as out/*.csv"
            )
        patterns.append(text)
    return tuple(patterns)


def _misplaced_key(node: Node, path: str) -> str:
    raise spot(node, path).error(
        "`once` is the key of the whole job; write it under `attributes` at the top level"
    )


def _unknown(key: ScalarNode, path: str) -> Reference:
    near = _SYNONYMS.get(key.text.lower()) or nearest(key.text, KNOWN_ATTRIBUTES)
    if near is not None:
        raise spot(key, path).error(
            f"unknown attribute {show(key.text)}; did you mean {show(near)}?"
        )
    return Reference(key.text, spot(key, path))


def _duration(node: Node, path: str) -> float:
    seconds = parse_duration(node.text) if isinstance(node, ScalarNode) else None
    if seconds is None:
        raise spot(node, path).error(f"this is {kind(node)}, which is not a duration; {EXAMPLES}")
    return seconds


def _cwd(node: Node, path: str) -> str:
    text = as_text(node, path)
    if not text:
        raise spot(node, path).error("an empty path; write the folder to run in, or leave it out")
    return text


def _environment(node: Node, path: str) -> dict[str, str]:
    """Values as written (`yes` is the text yes); they never appear in an error."""
    variables: dict[str, str] = {}
    for key, value, where in as_entries(node, path):
        if not key.text or "=" in key.text:
            raise spot(key, path).error(
                f"{show(key.text)} is not the name of a variable; write one without '='"
            )
        if not isinstance(value, ScalarNode) or value.is_null:
            what = "null" if isinstance(value, ScalarNode) else kind(value)
            raise spot(value, where).error(f"this is {what}; write text, or '' for an empty one")
        variables[key.text] = value.text
    return variables


def read_requirements(parent: Fields) -> tuple[Requirement, ...]:
    """`requires` of a vertex: a list of needs, such as `{name: spack, field: ior, min: "3"}`."""
    return parent.faults.each(parent.items("requires"), _requirement)


def _requirement(node: Node, path: str, faults: Faults) -> Requirement:
    fields = Fields(node, path, _KNOWN_NEEDS, faults)
    name = fields.name("name")
    if name is None and fields.good:
        raise fields.at.error("a need has no `name`; write the subsystem's, such as name: spack")
    needs = {key: text for key in _KNOWN_NEEDS[1:] if (text := fields.text(key)) is not None}
    return Requirement(name or "", needs, fields.at)


def read_task_requires(parent: Fields) -> Reference | tuple[Requirement, ...]:
    """`requires` of a task or group: the name of a top-level entry, or a list of needs."""
    found = parent.get("requires")
    if found is not None and not isinstance(found[0], ListNode):
        reference = parent.read("requires", lambda n, p: Reference(as_name(n, p), spot(n, p)))
        return reference or ()
    return read_requirements(parent)


def read_named_requires(parent: Fields) -> dict[str, tuple[Requirement, ...]]:
    """The top-level `requires`: named lists of needs."""
    faults, blocks = parent.faults, {}
    for key, value, path in parent.entries("requires"):
        name = faults.attempt(as_name, key, key_path("requires", key.text))
        items = faults.attempt(as_items, value, path)
        if name is not None and items is not None:
            blocks[name] = faults.each(items, _requirement)
    return blocks
