"""For tests: some of them run at the same time, because most of each is waiting.

A test that is marked `together` runs in a thread when the first of them is asked for, with all
others that were selected; in its own place it waits for its end. What disturbs others is not
marked.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import pytest

#: As many as two cores have something to do for: pods wait for each other, and for Kubernetes.
_COUNT: Final = 8
MARKER: Final = "together"


class Together:
    """The tests that run at the same time, each with its fixtures `fleet` and its parameters."""

    def __init__(self) -> None:
        self._running: dict[str, Future[None]] = {}
        self._pool = ThreadPoolExecutor(_COUNT)

    def result(self, item: pytest.Function) -> None:
        """Wait for the end of a test; the first call starts all of them.

        Raises:
            Exception: what the test raised.
        """
        if not self._running:
            for each in item.session.items:
                if isinstance(each, pytest.Function) and is_together(each):
                    parameters: dict[str, Any] = each.callspec.params if has_cases(each) else {}
                    self._running[each.nodeid] = self._pool.submit(
                        each.obj, fleet=item.funcargs["fleet"], **parameters
                    )
        self._running[item.nodeid].result()

    def close(self) -> None:
        """Wait for what runs; what did not begin does not."""
        self._pool.shutdown(cancel_futures=True)


def is_together(item: pytest.Item) -> bool:
    """Whether a test may run while others do."""
    return item.get_closest_marker(MARKER) is not None


def has_cases(item: pytest.Function) -> bool:
    """Whether a test is parametrized."""
    return hasattr(item, "callspec")
