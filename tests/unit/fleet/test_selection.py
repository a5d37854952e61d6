"""Which cluster gets the job: random, and constraint with its small expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rainbow_agent.fleet.scheduler_server.expression import CannotEvaluate, Expression
from rainbow_agent.fleet.scheduler_server.failure import Failure
from rainbow_agent.fleet.scheduler_server.selection import check, select

STATES: dict[str, dict[str, Any]] = {
    "cheap": {"nodes_free": 2, "cost": 1, "memory": 100},
    "dear": {"nodes_free": 9, "cost": 8, "memory": 900},
    "full": {"nodes_free": 0, "cost": 2, "memory": 500},
    "silent": {},
}


def last(names: Sequence[str]) -> str:
    return names[-1]


def constraint(
    *priorities: list[dict[str, str]],
    states: dict[str, dict[str, Any]] | None = None,
    jobspec: str = "version: 1\n",
    satisfy_only: bool = False,
) -> list[str]:
    text = str([{"priority": i, "steps": steps} for i, steps in enumerate(priorities)])
    return select(
        "constraint",
        {"priorities": text},
        STATES if states is None else states,
        jobspec,
        satisfy_only=satisfy_only,
        choose=last,
    )


def test_random_picks_one_of_all() -> None:
    """One name with the given choice, all of them on request, none of none."""
    assert select("random", {}, STATES, "", satisfy_only=False, choose=last) == ["silent"]
    assert select("random", {}, STATES, "", satisfy_only=True) == list(STATES)
    assert select("random", {}, {}, "", satisfy_only=False) == []
    assert select("random", {}, STATES, "", satisfy_only=False)[0] in STATES


def test_filters_keep_what_is_true() -> None:
    """A cluster for which it is false, or that does not know the name, is out."""
    steps = [{"filter": "nodes_free > 0"}, {"select": "random"}]
    assert constraint(steps, satisfy_only=True) == ["cheap", "dear"]
    assert constraint(steps) == ["dear"]


@pytest.mark.parametrize(
    ("step", "order"),
    [
        ({"sort_ascending": "cost"}, ["cheap", "full", "dear"]),
        ({"sort_descending": "cost"}, ["dear", "full", "cheap"]),
        ({"sort_ascending": "absent"}, []),
    ],
)
def test_sorting_orders_and_drops_what_has_no_number(
    step: dict[str, str], order: list[str]
) -> None:
    """The words mean what they say."""
    assert constraint([step, {"select": "first"}], satisfy_only=True) == order
    assert constraint([step, {"select": "first"}]) == order[:1]
    assert constraint([step, {"select": "last"}]) == order[-1:]


def test_calculated_values_can_be_used_and_are_forgotten() -> None:
    """`calc` adds a name for the steps that follow, and changes no cluster's state."""
    steps = [
        {"calc": "price = cost * min(memory, 500)"},
        {"sort_descending": "price"},
        {"select": "first"},
    ]
    assert constraint(steps) == ["dear"]
    assert all("price" not in state for state in STATES.values())
    again = [{"sort_descending": "price"}, {"select": "first"}]
    assert constraint([*steps[:2], {"filter": "price < 0"}], again) == []


def test_parameters_of_the_jobspec_are_names() -> None:
    """`attributes.parameter` counts, and what the cluster reports counts more."""
    jobspec = "attributes: {parameter: {seconds_per_gb: 0.5, cost: 100}}"
    steps = [{"filter": "memory * seconds_per_gb > 100 && cost < 100"}, {"select": "first"}]
    assert constraint(steps, jobspec=jobspec, satisfy_only=True) == ["dear", "full"]


def test_the_next_priority_starts_from_all() -> None:
    """A priority that leaves none gives way to the next, lowest number first."""
    none = [{"filter": "cost > 100"}, {"select": "first"}]
    some = [{"filter": "cost > 5"}, {"select": "first"}]
    assert constraint(none, some) == ["dear"]
    assert constraint(none, none) == []
    text = "- priority: 2\n  steps: [{select: last}]\n- priority: 1\n  steps: [{select: first}]\n"
    chosen = select("constraint", {"priorities": text}, STATES, "", satisfy_only=False)
    assert chosen == ["cheap"]


def test_without_a_select_step_what_is_left_comes_back() -> None:
    """As the real server does: the first of them gets the job."""
    assert constraint([{"filter": "cost > 1"}, {"sort_ascending": "cost"}]) == ["full", "dear"]
    assert constraint([{"select": "first"}], states={}) == []


def test_upstreams_example_chooses_by_cost() -> None:
    """The configuration in upstream's documentation works."""
    priorities = """
- priority: 1
  steps:
  - filter: "nodes_free > 0"
  - calc: "build_cost=(cost_per_node_hour * (memory_per_node * seconds_per_gb)/60/60)"
  - sort_descending: build_cost
  - select: first
- priority: 2
  steps:
  - filter: "nodes_free > 0"
  - calc: "memory_min=min(100, memory_per_node - 100)"
  - select: random
"""
    state = {"cost_per_node_hour": 3, "nodes_free": 20, "memory_per_node": 200}
    states = {"blue": state, "green": {**state, "cost_per_node_hour": 5}}
    jobspec = "attributes:\n  parameter:\n    seconds_per_gb: 0.4\n"
    chosen = select("constraint", {"priorities": priorities}, states, jobspec, satisfy_only=False)
    assert chosen == ["green"]


@pytest.mark.parametrize(
    "text",
    ["{", "5", "[5]", "[{priority: 1}]", "[{priority: x, steps: []}]", "[{steps: [{sort: a}]}]",
     "[{steps: [5]}]", "[{steps: 5}]"],
)  # fmt: skip
def test_priorities_that_cannot_be_read_are_refused(text: str) -> None:
    """Broken YAML, and another shape or step than there is."""
    with pytest.raises(Failure):
        check("constraint", {"priorities": text})


@pytest.mark.parametrize(
    "steps",
    [
        [{"filter": "nodes_free >"}],
        [{"filter": "nodes_free > (1"}],
        [{"calc": "a + 1"}],
        [{"calc": "= 1"}],
        [{"select": "best"}],
    ],
)
def test_steps_that_make_no_sense_are_refused(steps: list[dict[str, str]]) -> None:
    """An expression that is none is the request's fault, not a cluster's."""
    with pytest.raises(Failure):
        constraint(steps)


def test_algorithms_are_known_by_name() -> None:
    """An unknown one, and constraint without priorities, are refused."""
    with pytest.raises(Failure, match="did not find algorithm named best"):
        check("best", {})
    with pytest.raises(Failure, match="requires priorities"):
        check("constraint", {})
    check("random", {})


NAMES: dict[str, Any] = {
    "a": 6,
    "b": 4.0,
    "s": "text",
    "yes": True,
    "none": None,
    "list": [1],
    "odd-name": 7,
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a + b * 2", 14.0),
        ("(a + b) * 2", 20.0),
        ("-a / b", -1.5),
        ("a % 4", 2.0),
        ("2 ** 3", 8.0),
        ("a > b", True),
        ("a >= 6 && b != 4", False),
        ("a < b || !(a == b)", True),
        ("!yes", False),
        ("yes && true && !false", True),
        ("min(a, b, 5)", 4.0),
        ("max(a, b)", 6.0),
        ("s == 'text'", True),
        ("s == 'a && b || !c [d]'", False),
        ("s + '!'", "text!"),
        ("[odd-name] * 2", 14.0),
        ("a!=b", True),
        (" a", 6.0),
        ("1 < 2 && 2 < 3", True),
    ],
)
def test_expressions_have_values(text: str, value: object) -> None:
    """The useful part of govaluate's language."""
    assert Expression(text).evaluate(NAMES) == value


@pytest.mark.parametrize(
    "text",
    ["absent > 0", "[x for x in 'a']", "min", "a / 0", "s > 1", "s * 3", "a && yes", "!a", "-s",
     "none > 0", "list == 1", "9 ** 9 ** 9", "(-8) ** 0.5", "min(s, 1)", "'a' - 'b'", "a + s",
     "1 % 0"],
)  # fmt: skip
def test_what_has_no_value_says_so(text: str) -> None:
    """A missing name, or types that do not go together, is no crash and no guess."""
    with pytest.raises(CannotEvaluate):
        Expression(text).evaluate(NAMES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a >",
        "a = 1",
        "__import__('os').system('x')",
        "a.real",
        "a[0]",
        "list[0]",
        "[(x for x in a)",
        "lambda: 1",
        "exec('x')",
        "min()",
        "min(a, key=b)",
        "(a := 1)",
        "f'{a}'",
        "a if yes else b",
        "a in list",
        "a is b",
        "a // b",
        "a @ b",
        "a << 2",
        "~a",
        "{1: 2}",
        "b'x'",
        "1j",
        "None",
        "...",
        "a; b",
        "a\nb",
        "(" * 500 + "a" + ")" * 500,
        "a +" * 1000 + "a",
        "a\0",
    ],
)
def test_nothing_else_can_be_written(text: str) -> None:
    """Whatever is not in the language is refused before any value is looked at."""
    with pytest.raises(Failure):
        Expression(text)


@settings(deadline=None)  # the machine may be busy, and this is not about time
@given(st.text(st.sampled_from("ab1.+-*/%()<>=!&|[]'\" ,min_"), max_size=60))
def test_any_text_is_a_value_or_a_refusal(text: str) -> None:
    """Nothing but our two errors comes out, whatever goes in."""
    try:
        value = Expression(text).evaluate(NAMES)
    except (Failure, CannotEvaluate):
        return
    assert isinstance(value, (bool, float, str))
