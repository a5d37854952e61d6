"""Counters and histograms: what was counted is what is reported."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.runtime.counters import CALL_BUCKETS, Counter, Histogram


def test_a_counter_counts_by_labels() -> None:
    """What was not counted is not there."""
    counter = Counter()
    counter.add("a")
    counter.add("a", by=2)
    counter.add("b")
    assert counter.values() == {("a",): 3.0, ("b",): 1.0}


@given(st.lists(st.floats(0, 100)))
def test_every_value_is_in_one_bucket(values: list[float]) -> None:
    """Under the first bound that it does not exceed; the sum is of all."""
    histogram = Histogram(CALL_BUCKETS)
    for value in values:
        histogram.observe(value, "x")
    if not values:
        assert histogram.values() == {}
        return
    seen = histogram.values()[("x",)]
    assert sum(seen.counts) == len(values)
    assert seen.total == pytest.approx(sum(values))  # Python 3.12 and later sum exactly
    for at, bound in enumerate(CALL_BUCKETS):
        assert sum(seen.counts[: at + 1]) == sum(value <= bound for value in values)


def test_many_threads_lose_nothing() -> None:
    """Every loop counts in its own thread."""
    counter, histogram = Counter(), Histogram((1.0,))

    def work() -> None:
        for _ in range(2000):
            counter.add("a")
            histogram.observe(0.5)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.values() == {("a",): 8000.0}
    assert histogram.values()[()].counts == (8000, 0)
