"""The order of cores, where hwloc itself cannot be asked: what crosses, what cannot be right."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_compspec.probes.core_order import near_each_other, ordered

ONE = [frozenset({cpu}) for cpu in range(4)]


def _order(*holders: set[int]) -> list[int]:
    return [min(core) for core in ordered(ONE, map(frozenset, holders))]


def test_what_holds_cores_together_keeps_them_together() -> None:
    """Packages first, then what is in them, each by its lowest CPU."""
    assert _order({0, 2}, {1, 3}) == [0, 2, 1, 3]
    assert _order({0, 1, 2, 3}, {1, 3}, {0, 2}) == [0, 2, 1, 3]


def test_of_two_that_cross_the_first_counts() -> None:
    """A domain that crosses a package has no place in the tree."""
    assert _order({0, 2}, {1, 3}, {2, 3}) == [0, 2, 1, 3]
    assert _order({2, 3}, {0, 2}) == [0, 1, 2, 3]


def test_a_cache_that_splits_a_core_does_not_count() -> None:
    """Threads of a core stay together."""
    cores = [frozenset({0, 2}), frozenset({1, 3})]
    assert ordered(cores, [frozenset({0, 3}), frozenset({0, 2})]) == cores


@given(st.permutations(range(6)), st.integers(1, 3))
def test_every_core_is_there_once(numbers: list[int], size: int) -> None:
    """Whatever holds what: nothing is lost, nothing is there twice."""
    cores = [frozenset({number}) for number in numbers]
    holders = [frozenset(numbers[start : start + size]) for start in range(6)]
    found = ordered(cores, holders)
    assert sorted(map(min, found)) == list(range(6))


DOMAINS = {node: frozenset({node}) for node in range(4)}


def _near(rows: list[list[int]]) -> list[set[int]]:
    return [set(group) for group in near_each_other(DOMAINS, dict(enumerate(map(_row, rows))))]


def _row(row: list[int]) -> dict[int, int]:
    return dict(enumerate(row))


def test_pairs_of_domains() -> None:
    """Two boards of two domains each."""
    assert _near([[10, 12, 20, 20], [12, 10, 20, 20], [20, 20, 10, 12], [20, 20, 12, 10]]) == [
        {0, 1},
        {2, 3},
    ]


@pytest.mark.parametrize(
    "rows",
    [
        [[10 if a == b else 20 for b in range(4)] for a in range(4)],  # all alike
        [[10 if a == b else 12 + a for b in range(4)] for a in range(4)],  # not symmetric
        [[10] * 4 for _ in range(4)],  # no domain is nearest to itself
        [[10, 12], [12, 10]],  # not all of the domains
    ],
)
def test_tables_that_group_nothing(rows: list[list[int]]) -> None:
    """Where no domains are nearer to each other than to the rest, or the table cannot be right."""
    assert _near(rows) == []
