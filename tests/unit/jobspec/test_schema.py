"""The published JSON Schema and the parser accept the same, as far as a schema can say it."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from rainbow_agent.cli import main
from rainbow_agent.core.errors import JobspecError
from rainbow_agent.jobspec import attributes, parsing, resources
from rainbow_agent.jobspec.document import Document, Resource
from rainbow_agent.jobspec.words import nearest

ROOT = Path(__file__).parents[3]
SHIPPED = ROOT / "agent" / "rainbow_agent" / "jobspec" / "jobspec-v1.schema.json"
SCHEMA = json.loads(SHIPPED.read_text())
VALIDATOR = Draft7Validator(SCHEMA)
FIXTURES = ROOT / "tests" / "fixtures" / "jobspecs"

#: A jobspec with everything in it.
FULL: dict[str, Any] = {
    "version": 1,
    "name": "full",
    "requires": {"soft": [{"name": "spack", "field": "ior", "min": "3.0.0", "max": "4"}]},
    "resources": {
        "node": {
            "type": "node",
            "count": 2,
            "requires": [{"name": "system", "field": "cpu.target", "match": "amd64"}],
            "attributes": {"duration": "5m", "cwd": "/opt", "environment": {"A": "b"}},
            "environment": {"B": 1},
            "exclusive": False,
            "with": [{"type": "cores", "count": 4}, {"type": "gpu", "count": 1, "requires": []}],
        },
        "slots": {"type": "node", "replicas": 4, "with": {"type": "core", "count": 1}},
    },
    "tasks": [
        {"name": "a", "command": ["echo", 1, True], "resources": "node|slots", "replicas": 3},
        {"command": "make all", "resources": "node", "depends_on": ["a"], "requires": "soft"},
        {"command": "x", "resources": "node", "requires": [{"name": "spack", "attribute": "n"}]},
        {"group": "g", "depends_on": []},
        {"steps": [{"name": "stage", "path": "/tmp/data"}], "resources": "node"},
    ],
    "groups": [
        {
            "name": "g",
            "resources": "node",
            "attributes": {"watch": True, "queue": "batch", "color": "red", "duration": 600},
            "tasks": [{"local": True, "command": ["true"]}],
            "groups": [{"name": "h", "tasks": [{"command": ["x"]}], "requires": "soft"}],
        }
    ],
    "attributes": {"duration": 0.5},
}
#: What is put in the place of something else. No whole floats: JSON Schema takes 4.0 for 4.
ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 4, 2**31, 0.5, "", "x", "4", "300s", "5 minutes", "/x", "node"),
    *([], ["x"], [""], [None], [[]], [{}], {}, {"name": "x"}, {"type": "core", "count": 1}),
    *({"x": "y"}, {"x": None}, {"a=b": "c"}, [{"name": "stage", "path": "/x"}]),
]


def accepted(document: Any) -> bool:
    """Whether the parser takes it; what resources are of is looked at later, but in the schema."""
    try:
        found = parsing.parse(json.dumps(document))
        for vertex in vertices(found):
            resources.resource_type(vertex)
    except JobspecError:
        return False
    return True


def vertices(document: Document) -> Iterator[Resource]:
    queue = list(document.resources.values())
    while queue:
        vertex = queue.pop()
        yield vertex
        queue += vertex.children


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything in a document."""
    if path:
        yield path
    items: Any = ()
    if isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def changed(draw: st.DrawFn) -> dict[str, Any]:
    """The full jobspec with up to three things changed: another value, another key, gone, more."""
    document = copy.deepcopy(FULL)
    for _ in range(draw(st.integers(0, 3))):
        *above, last = draw(st.sampled_from(list(places(document))))
        holder: Any = document
        for key in above:
            holder = holder[key]
        how = draw(st.sampled_from(["change", "drop", "rename", "add"]))
        if how == "change":
            holder[last] = copy.deepcopy(draw(st.sampled_from(ODD)))
        elif how == "drop":
            del holder[last]
        elif isinstance(holder, dict):
            key = draw(st.sampled_from(KEYS))
            value = (
                holder.pop(last) if how == "rename" else copy.deepcopy(draw(st.sampled_from(ODD)))
            )
            holder.setdefault(key, value)
    return document


#: Every key that a schema knows, and some that none does.
KEYS = sorted(
    {key for d in SCHEMA["definitions"].values() for key in d.get("properties", {})}
    | {"version", "zzzzz", "timeout", "env"}
)


def misspelt(document: Any) -> bool:
    """Whether an attribute looks like another one: no schema can say that."""
    if isinstance(document, list):
        return any(misspelt(inner) for inner in document)
    if not isinstance(document, dict):
        return False
    own = document.get("attributes")
    names = set(own if isinstance(own, dict) else ()) - set(attributes.KNOWN_ATTRIBUTES)
    near = any(nearest(name, attributes.KNOWN_ATTRIBUTES) for name in names)
    return near or any(misspelt(inner) for inner in document.values())


@settings(max_examples=300)
@given(changed())
def test_schema_and_parser_agree(document: dict[str, Any]) -> None:
    """What one refuses the other refuses, whatever was done to a jobspec."""
    assume(not misspelt(document))
    assert VALIDATOR.is_valid(document) == accepted(document)


def test_the_full_jobspec_is_accepted_by_both() -> None:
    """So the changes start from something that is right."""
    assert accepted(FULL)
    assert list(VALIDATOR.iter_errors(FULL)) == []
    Draft7Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", sorted((FIXTURES / "runs").iterdir()), ids=lambda p: p.name)
def test_examples_that_run_pass_the_schema(path: Path) -> None:
    """As an editor reads them: YAML 1.1 values, not text."""
    assert list(VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))) == []


@pytest.mark.parametrize(
    "path", sorted((FIXTURES / "refused").glob("draft-*")), ids=lambda p: p.name
)
def test_older_drafts_do_not(path: Path) -> None:
    """They are refused by the agent, too."""
    assert not VALIDATOR.is_valid(yaml.safe_load(path.read_text()))


def test_there_is_one_schema_and_the_docs_lead_to_it() -> None:
    """The file that the wheel ships; a second copy would age."""
    folders = ("agent", "compspec", "crd", "docker", "docs", "examples", "systemd")
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.schema.json")]
    assert found == [SHIPPED]
    link = os.path.relpath(SHIPPED, ROOT / "docs")
    for page in ("jobspec.md", "commands.md"):
        assert f"({link})" in (ROOT / "docs" / page).read_text()


def test_the_command_line_prints_it() -> None:
    """For an editor, or a repository's checks, without a copy of this repository."""
    answer = CliRunner().invoke(main, ["validate", "--schema"])
    assert (answer.exit_code, answer.output) == (0, SHIPPED.read_text())


def test_every_key_of_the_parser_is_in_the_schema() -> None:
    """And no other: a key that is added to the one must be added to the other."""
    definitions = SCHEMA["definitions"]
    assert set(SCHEMA["properties"]) == set(parsing._DOCUMENT)
    assert set(definitions["task"]["properties"]) == set(parsing._TASK)
    assert set(definitions["group"]["properties"]) == set(parsing._GROUP)
    assert set(definitions["vertex"]["properties"]) == set(parsing._RESOURCE)
    assert set(definitions["resource"]["properties"]) == {*parsing._RESOURCE, "environment"}
    assert set(definitions["need"]["properties"]) == set(attributes._KNOWN_NEEDS)
    common = set(definitions["common_attributes"]["properties"])
    for where in ("attributes", "job_attributes"):
        more = set(definitions[where]["allOf"][1]["properties"])
        assert common | more == set(attributes.KNOWN_ATTRIBUTES)
    assert set(definitions["vertex"]["properties"]["type"]["enum"]) == set(resources.TYPES)
    refused = definitions["common_attributes"]["propertyNames"]["not"]["enum"]
    assert set(refused) == set(attributes._SYNONYMS)
