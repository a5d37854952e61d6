"""For tests: which of many cases `make test` runs; `make test-full` runs them all."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def sample(cases: Iterable[Any], *, quick: Collection[Any]) -> list[Any]:
    """The cases as parameters, marked `full` but for a few.

    Args:
        cases: of pytest.mark.parametrize.
        quick: those that `make test` runs, too.

    Raises:
        ValueError: one of these is no case.
    """
    all_of_them = list(cases)
    if unknown := [case for case in quick if case not in all_of_them]:
        raise ValueError(f"no such case: {unknown}")
    full = pytest.mark.full
    return [case if case in quick else pytest.param(case, marks=full) for case in all_of_them]
