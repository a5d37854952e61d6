"""Jobs that fail at once or are refused by the workload manager, in a row, stop the polling."""

from __future__ import annotations

import pytest

from rainbow_agent.core.model import JobChange, JobKey
from rainbow_agent.core.states import JobState
from rainbow_agent.daemon.circuit_breaker import FIRST_PAUSE_S, CircuitBreaker
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from support.common import FakeClock


def ended(number: int, state: JobState) -> JobChange:
    """A job came to its end without having run for long."""
    return JobChange(JobKey("r1", number), JobState.RECEIVED, state, "in Flux's words")


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.REFUSED])
def test_it_opens_after_so_many_in_a_row(state: JobState) -> None:
    """The condition names the last one and its reason; after a pause one job is tried."""
    clock = FakeClock()
    conditions = Conditions(clock)
    breaker = CircuitBreaker(conditions=conditions, clock=clock, limit=3)
    breaker.heard([ended(1, state), ended(2, state)])
    assert breaker.may_take() is None
    breaker.heard([ended(3, state)])
    assert breaker.may_take() == 0
    (condition,) = conditions.current()
    assert condition.name == ConditionName.BLACK_HOLE
    assert "(3) with: in Flux's words" in condition.reason
    clock.advance(FIRST_PAUSE_S)
    assert breaker.may_take() == 1
    breaker.took(1)
    breaker.heard([ended(4, JobState.COMPLETED)])
    assert breaker.may_take() is None
    assert not conditions.current()


def test_one_that_works_in_between_counts_anew() -> None:
    """Single bad jobs are their writers' business."""
    clock = FakeClock()
    breaker = CircuitBreaker(conditions=Conditions(clock), clock=clock, limit=2)
    for number in range(10):
        breaker.heard([ended(2 * number, JobState.REFUSED)])
        breaker.heard([ended(2 * number + 1, JobState.COMPLETED)])
    assert breaker.may_take() is None
