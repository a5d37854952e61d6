"""Reading `attributes` and `requires`."""

from __future__ import annotations

from rainbow_agent.jobspec.document import NO_ATTRIBUTES, Attributes, Reference, Requirement
from rainbow_agent.jobspec.duration import EXAMPLES, parse_duration
from rainbow_agent.jobspec.reading import (
    Fields,
    as_boolean,
    as_entries,
    as_items,
    as_name,
    as_text,
    kind,
    spot,
)
from rainbow_agent.jobspec.words import key_path, nearest, show
from rainbow_agent.jobspec.yamlnodes import ListNode, Node, ScalarNode

KNOWN_ATTRIBUTES = ("duration", "cwd", "environment", "watch")
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
}
_KNOWN_NEEDS = ("name", "field", "match", "min", "max", "attribute", "value")


def read_attributes(parent: Fields) -> Attributes:
    """The `attributes` of a mapping; empty ones when it has none.

    An unknown attribute is kept by name, since other transformers have their own, unless it is
    another word for a known one, or looks like a misspelling.
    """
    if "attributes" not in parent:
        return NO_ATTRIBUTES
    values: dict[str, tuple[Node, str]] = {}
    unknown: list[Reference] = []
    for key, value, path in parent.entries("attributes"):
        if isinstance(value, ScalarNode) and value.is_null:
            continue
        if key.text in KNOWN_ATTRIBUTES:
            values[key.text] = (value, path)
        else:
            unknown.append(_unknown(key, path))
    duration, cwd = values.get("duration"), values.get("cwd")
    environment, watch = values.get("environment"), values.get("watch")
    return Attributes(
        duration=_duration(*duration) if duration else None,
        cwd=_cwd(*cwd) if cwd else None,
        environment=_environment(*environment) if environment else {},
        watch=as_boolean(*watch) if watch else None,
        unknown=tuple(unknown),
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
        raise spot(node, path).error(f"this is {kind(node)}, which is no duration; {EXAMPLES}")
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
                f"{show(key.text)} is no name of a variable; write one without '='"
            )
        if not isinstance(value, ScalarNode) or value.is_null:
            what = "no value" if isinstance(value, ScalarNode) else kind(value)
            raise spot(value, where).error(f"this is {what}; write text, or '' for an empty one")
        variables[key.text] = value.text
    return variables


def read_requirements(node: Node, path: str) -> tuple[Requirement, ...]:
    """A list of needs, such as `{name: spack, field: ior, min: "3.0.0"}`."""
    return tuple(_requirement(item, where) for item, where in as_items(node, path))


def _requirement(node: Node, path: str) -> Requirement:
    fields = Fields(node, path, _KNOWN_NEEDS)
    name = fields.name("name")
    if name is None:
        raise fields.at.error("a need has no `name`; write the subsystem's, such as name: spack")
    needs = {key: text for key in _KNOWN_NEEDS[1:] if (text := fields.text(key)) is not None}
    return Requirement(name, needs, fields.at)


def read_task_requires(parent: Fields) -> Reference | tuple[Requirement, ...]:
    """`requires` of a task or group: the name of a top-level entry, or a list of needs."""
    found = parent.get("requires")
    if found is None:
        return ()
    node, path = found
    if isinstance(node, ListNode):
        return read_requirements(node, path)
    return Reference(as_name(node, path), spot(node, path))


def read_named_requires(parent: Fields) -> dict[str, tuple[Requirement, ...]]:
    """The top-level `requires`: named lists of needs."""
    return {
        as_name(key, key_path(parent.path, key.text)): read_requirements(value, path)
        for key, value, path in parent.entries("requires")
    }
