"""Random jobspecs with groups: order and ends, by the workload manager's own times.

The oracle is in support/groups.py; with the agent killed in the middle:
tests/acceptance/test_groups_random_kills.py.
"""

from __future__ import annotations

import os
import random
from contextlib import closing
from pathlib import Path

import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rainbow_agent.jobs.run_once import Run
from rainbow_agent.jobspec.plan import plan_text
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.environment import job_environment
from rainbow_agent.runtime.stop import Stop
from support.groups import expect_as_said, jobspec_of, random_scope
from support.places import Place, new_key


@settings(
    max_examples=6,
    deadline=None,
    phases=[Phase.generate],
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rng=st.randoms(use_true_random=False))
def test_order_and_ends(place: Place, tmp_path: Path, rng: random.Random) -> None:
    """Nothing starts before what it needs ended well; all that can run runs; each once."""
    nodes = random_scope(rng)
    marks = tmp_path / "marks"
    marks.unlink(missing_ok=True)
    with (
        closing(place.open()) as workload,
        closing(place.open()) as other,
        closing(other.open_journal(lambda _: True)) as journal,
    ):
        run = Run(
            plan_text(yaml.safe_dump(jobspec_of(nodes, marks))),
            new_key().job,
            workload=workload,
            environment=job_environment(os.environ),
            clock=SystemClock(),
            show=lambda _: None,
        )
        stop = Stop()
        run.submit(stop)
        run.watch(journal, stop)
    written = marks.read_text().split() if marks.exists() else []
    expect_as_said(nodes, list(run.latest.values()), written)
