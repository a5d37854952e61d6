"""That a job moved is passed on to all who have to know."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from rainbow_agent.core.model import JobChange, JobKey
from rainbow_agent.core.states import JobState
from rainbow_agent.daemon.circuit_breaker import CircuitBreaker
from rainbow_agent.daemon.job_news import JobNews
from rainbow_agent.fleet.fleet import Fleet
from rainbow_agent.inventory.watcher import NodeWatcher
from rainbow_agent.runtime.memory import MemoryRelease


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.COMPLETED])
def test_everybody_who_has_to_know_hears_of_it(state: JobState) -> None:
    """Also who gives memory back: what a burst's ends took comes after the last job came in."""
    fleet, nodes = Mock(spec=Fleet), Mock(spec=NodeWatcher)
    breaker, memory = Mock(spec=CircuitBreaker), Mock(spec=MemoryRelease)
    changes = [JobChange(JobKey("r1", 1), JobState.SUBMITTED, state, None)]
    JobNews(fleet, nodes, breaker, memory).heard(changes)
    fleet.changed.assert_called_once_with(1)
    memory.worked.assert_called_once_with()
    breaker.heard.assert_called_once_with(changes)
    assert nodes.jobs_ended.called == (state is JobState.COMPLETED)
