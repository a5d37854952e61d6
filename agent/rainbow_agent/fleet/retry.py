"""The one retry policy of commands that a person waits for. The daemon's loops retry by tick."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import stamina

from rainbow_agent.core.errors import Transient

T = TypeVar("T")

# What is tried again is said by the verb that waits, in its own words, or not at all.
stamina.instrumentation.set_on_retry_hooks([])


def patiently(call: Callable[[], T]) -> T:
    """The result of `call`, tried up to three times within a few seconds while it is transient.

    Raises:
        Transient: it still was, the third time.
    """
    for attempt in stamina.retry_context(
        on=Transient, attempts=3, timeout=15.0, wait_initial=0.2, wait_max=2.0
    ):
        with attempt:
            return call()
    raise AssertionError("stamina ends in a result or an exception")
