"""Numbers that grow while the daemon runs: counters and histograms, a few additions a call.

Every package counts here. What the numbers are called outside, and what else is shown beside
them, is monitoring/metrics.py's.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: Seconds; a call to another machine.
CALL_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: Seconds; what becomes of a job, from moments to days.
JOB_BUCKETS: Final = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0, 14400.0, 86400.0)

Labels = tuple[str, ...]


class Counter:
    """Counts things by label values; from any thread."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._values: dict[Labels, float] = {}

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Some more of this kind."""
        with self._guard:
            self._values[labels] = self._values.get(labels, 0.0) + by

    def values(self) -> Mapping[Labels, float]:
        """What was counted so far."""
        with self._guard:
            return dict(self._values)


@dataclass(frozen=True)
class Distribution:
    """What a histogram saw of one kind."""

    counts: tuple[int, ...]  # of each bucket alone; one more than there are bounds
    total: float  # of all values


class Histogram:
    """Counts values by size; from any thread.

    Args:
        bounds: upper bounds of the buckets, growing; a last one without bound follows.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = tuple(bounds)
        self._guard = threading.Lock()
        self._counts: dict[Labels, list[int]] = {}
        self._totals: dict[Labels, float] = {}

    def observe(self, value: float, *labels: str) -> None:
        """One more value; a bound belongs to the bucket under it."""
        at = bisect_left(self.bounds, value)
        with self._guard:
            if labels not in self._counts:
                self._counts[labels] = [0] * (len(self.bounds) + 1)
            self._counts[labels][at] += 1
            self._totals[labels] = self._totals.get(labels, 0.0) + value

    def values(self) -> Mapping[Labels, Distribution]:
        """What was seen so far."""
        with self._guard:
            return {
                labels: Distribution(tuple(counts), self._totals[labels])
                for labels, counts in self._counts.items()
            }


class Counters:
    """All that is counted while the daemon runs."""

    def __init__(self) -> None:
        self.calls = Histogram(CALL_BUCKETS)  # to rainbow; method, outcome
        self.polls = Counter()  # outcome: jobs, empty, error
        self.rows = Counter()  # of rainbow's list that were here before; outcome: dropped, reused
        self.errors = Counter()  # kind
        self.retries = Counter()  # of what
        self.reports = Counter()  # outcome: delivered, failed
        self.requests = Counter()  # over HTTP; path, code
