"""Alternatives, asked about one by one."""

from __future__ import annotations

from typing import Any

from rainbow_agent.jobspec.variants import MAX_VARIANTS, variants


def document(*resources: str, groups: list[Any] | None = None) -> dict[str, Any]:
    """A jobspec with resources a, b, c and d, and a task for each of these references."""
    named = {name: {"type": "node", "count": 1} for name in "abcd"}
    tasks = [{"command": ["x"], "resources": name} for name in resources]
    return {
        "version": 1,
        "resources": named,
        "tasks": tasks,
        **({"groups": groups} if groups else {}),
    }


def kept(whole: dict[str, Any]) -> list[str]:
    """The names of the resources in each variant."""
    return ["".join(variant["resources"]) for variant in variants(whole)]


def test_without_alternatives_the_jobspec_is_asked_about_as_it_is() -> None:
    """Also what no task uses."""
    whole = document("a", "b")
    assert variants(whole) == [whole]


def test_each_alternative_is_asked_about_in_order() -> None:
    """Only what is chosen stands beside what is needed anyway."""
    assert kept(document("a|b", "c")) == ["acd", "bcd"]
    assert kept(document("b | a", "a")) == ["abcd", "acd"]
    assert kept(document("a|b", "c|d")) == ["ac", "ad", "bc", "bd"]


def test_groups_have_alternatives_too() -> None:
    """And what is in them."""
    inner = {"tasks": [{"command": ["x"], "resources": "c|d"}]}
    assert kept(document(groups=[{"resources": "a|b", "groups": [inner]}])) == [
        "ac",
        "ad",
        "bc",
        "bd",
    ]


def test_a_name_with_a_bar_in_it_is_a_name() -> None:
    """As for the planner."""
    whole = document("a|b")
    whole["resources"]["a|b"] = {"type": "core", "count": 1}
    assert variants(whole) == [whole]


def test_there_is_an_end_to_it() -> None:
    """A jobspec from a stranger does not become a thousand calls."""
    whole = document(*["a|b|c|d", "a | b|c|d", "a|b | c|d"])
    assert len(variants(whole)) == MAX_VARIANTS
