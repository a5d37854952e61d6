"""The jobspec of one command line."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.errors import UsageError
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.jobspec.simple import simple_jobspec
from rainbow_agent.jobspec.wire import to_wire


def node(count: int, *inside: dict[str, Any], exclusive: bool = False) -> dict[str, Any]:
    """A node of Flux's jobspec with one slot."""
    slot = {"type": "slot", "count": 1, "label": "task", "with": list(inside)}
    vertex: dict[str, Any] = {"type": "node", "count": count, "with": [slot]}
    return {**vertex, "exclusive": True} if exclusive else vertex


def slots(count: int, *inside: dict[str, Any]) -> dict[str, Any]:
    """So many slots."""
    return {"type": "slot", "count": count, "label": "task", "with": list(inside)}


def within(count: int, inside: dict[str, Any]) -> dict[str, Any]:
    """Nodes of Flux's jobspec with something in each."""
    return {"type": "node", "count": count, "with": [inside]}


def core(count: int) -> dict[str, Any]:
    """Cores of a slot."""
    return {"type": "core", "count": count}


@pytest.mark.parametrize(
    ("options", "resources"),
    [
        ({}, node(1, core(1))),
        ({"cores": 4}, node(1, core(4))),
        ({"nodes": 2}, node(2, core(1), exclusive=True)),
        ({"nodes": 2, "cores": 4}, node(2, core(4))),
        ({"nodes": 2, "gpus": 1}, node(2, core(1), {"type": "gpu", "count": 1})),
        ({"tasks": 4}, slots(4, core(1))),
        ({"tasks": 4, "cores": 2, "gpus": 1}, slots(4, core(2), {"type": "gpu", "count": 1})),
        ({"nodes": 2, "tasks": 2}, node(2, core(1))),
        ({"nodes": 2, "tasks": 6}, within(2, slots(3, core(1)))),
        ({"nodes": 2, "tasks": 4, "cores": 8}, within(2, slots(2, core(8)))),
    ],
)
def test_what_it_asks_for(options: dict[str, Any], resources: dict[str, Any]) -> None:
    """Cores and GPUs are of each node; a number of nodes alone means whole ones."""
    plan = plan_text(to_wire(simple_jobspec(["hostname"], **options)))
    assert plan.tasks[0].jobspec["resources"] == [resources]
    assert plan.warnings == ()


def test_its_names() -> None:
    """A job is called as asked, or by its program."""
    assert simple_jobspec(["/usr/bin/env", "x"])["name"] == "env"
    assert simple_jobspec(["x"], name="mine")["tasks"][0]["name"] == "mine"
    assert simple_jobspec(["/"])["name"] == "command"


@pytest.mark.parametrize(
    ("command", "options", "error"),
    [
        ([], {}, "no command to submit"),
        ([""], {}, "no command to submit"),
        (["x"], {"nodes": 0}, "--nodes 0: use 1 to"),
        (["x"], {"nodes": 2, "tasks": 3}, "--tasks 3 cannot be spread evenly over --nodes 2"),
        (["x"], {"cores": -1}, "--cores -1: use 1 to"),
        (["x"], {"gpus": 2**31}, "--gpus 2147483648: use 1 to 2147483647"),
    ],
)
def test_what_is_refused(command: list[str], options: dict[str, Any], error: str) -> None:
    """A command line that makes no job is an error of its option."""
    with pytest.raises(UsageError, match=error):
        simple_jobspec(command, **options)


argument = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(argument, min_size=1).filter(lambda words: words[0]))
def test_the_words_arrive_as_they_were_typed(words: list[str]) -> None:
    """Through YAML for rainbow and back, every word of a command is what it was."""
    plan = plan_text(yaml.safe_dump(simple_jobspec(words)))
    assert plan.tasks[0].jobspec["tasks"][0]["command"] == words
    assert plan_text(to_wire(simple_jobspec(words))) == plan
