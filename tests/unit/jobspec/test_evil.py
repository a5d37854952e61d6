"""Jobspecs come from strangers: whatever they write, the answer is a plan or a JobspecError."""

from __future__ import annotations

import json

import yaml
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.errors import JobspecError
from rainbow_agent.core.model import Plan
from rainbow_agent.jobspec.plan import plan_text

#: What the mappings of a jobspec are made of, and what its values look like.
KEYS = ["version", "name", "requires", "resources", "tasks", "groups", "attributes", "command"]
KEYS += ["depends_on", "replicas", "steps", "group", "local", "type", "count", "with", "exclusive"]
KEYS += ["duration", "cwd", "environment", "task", "<<"]
VALUES = ["r", "node", "core", "a|b", "5m", "#!/bin/sh", "{{"]

words = st.sampled_from(KEYS + VALUES) | st.text()
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
nested = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=5),
    max_leaves=12,
)
#: Documents that get past the first checks.
likely = st.fixed_dictionaries(
    {"version": st.just(1)},
    optional={
        "name": nested,
        "attributes": nested,
        "resources": st.dictionaries(st.sampled_from("rs"), nested, max_size=2),
        "tasks": st.lists(
            st.fixed_dictionaries(
                {"command": nested | st.just(["x"])},
                optional={
                    "name": words,
                    "resources": st.sampled_from("rs") | nested,
                    "depends_on": st.lists(words) | nested,
                    "replicas": st.integers() | nested,
                    "attributes": nested,
                },
            ),
            max_size=3,
        ),
        "groups": nested,
        "requires": nested,
    },
)


def plan_or_error(text: str) -> Plan | None:
    """The plan; None after a JobspecError, whose text a terminal can show. All else is raised."""
    try:
        plan = plan_text(text)
    except JobspecError as exc:
        error = str(exc)
    else:
        json.dumps([task.jobspec for task in plan.tasks], ensure_ascii=False).encode()
        return plan
    assert error.isprintable()
    assert len(error) < 1000
    return None


@given(st.text() | st.text(alphabet="[]{}:,-&*!|>'\"%#<a1 \n\t"))
def test_any_text(text: str) -> None:
    """Text of any kind, and text that looks like YAML."""
    plan_or_error(text)


@given(nested | likely)
def test_any_data(data: object) -> None:
    """Nested data of any shape, as YAML with aliases and tags, and as JSON."""
    plan_or_error(yaml.dump(data))
    plan_or_error(json.dumps(data))


@given(likely, st.integers(0, 10_000), st.characters(), st.integers(0, 3))
def test_any_damage(data: object, place: int, char: str, cut: int) -> None:
    """A jobspec with a character put in and some taken out."""
    text = yaml.safe_dump(data)
    place %= len(text)
    plan_or_error(text[:place] + char + text[place + cut :])


def test_a_long_lie_is_told_short() -> None:
    """Names of megabytes, and thousands of names, make no error of megabytes."""
    assert plan_or_error("version: 1\n? " + "x" * 100_000 + "\n: 1\n") is None
    tasks = [{"name": f"t{i}", "command": ["x"], "resources": "r"} for i in range(3000)]
    tasks.append({"command": ["x"], "resources": "r", "depends_on": ["nothing like it" * 10]})
    resources = {"r": {"type": "core", "count": 1}}
    assert plan_or_error(json.dumps({"version": 1, "resources": resources, "tasks": tasks})) is None
    assert plan_or_error(f"version: 1\n{'y' * 100}: 1\n") is None
