"""Jobs that ask something of the nodes: placed when submitted, refused where none passes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.model import WARNING, JobKey
from rainbow_agent.core.site import Site, SiteNode
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.jobspec.plan import plan_text
from support.dispatch import Harness
from support.ledger import checked_ledger


def site(*versions: str | None) -> Site:
    """Nodes of 4 cores, each with a version of ior or without any."""
    traits = {v: {"spack": ({"ior": v},)} if v else {} for v in versions}
    return Site(
        tuple(SiteNode(r, f"blue-{r}", 4, 0, traits=traits[v]) for r, v in enumerate(versions))
    )


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        harness = Harness(ledger)
        harness.plan_text = plan_text
        harness.connect()
        harness.site = site("2.9.0", "3.3.0", "3.3.0")
        yield harness


def wants(low: str, count: int = 1) -> str:
    """A job of two tasks, the second of which wants an ior."""
    entry = {"name": "spack", "field": "ior", "min": low}
    new = {
        "type": "node",
        "count": count,
        "requires": [entry],
        "with": [{"type": "core", "count": 1}],
    }
    any_core = {"type": "core", "count": 1}
    tasks: list[dict[str, Any]] = [
        {"name": "build", "command": ["true"], "resources": "any"},
        {"name": "ior", "command": ["ior"], "resources": "new", "depends_on": ["build"]},
    ]
    return json.dumps({"version": 1, "resources": {"new": new, "any": any_core}, "tasks": tasks})


def constraints(harness: Harness, key: JobKey) -> dict[str, Any]:
    """Of a job's tasks, by name."""
    found = {}
    for name, flux_id in harness.ids(key).items():
        if flux_id is not None:
            jobspec = harness.server.jobs[flux_id].submission.jobspec
            found[name] = jobspec["attributes"]["system"].get("constraints")
    return found


def test_a_task_goes_to_the_nodes_that_pass(harness: Harness) -> None:
    """By rank; what asks nothing of the nodes may run anywhere."""
    (key,) = harness.receive(wants("3.0.0"))
    harness.run()
    assert constraints(harness, key) == {"build": None, "ior": {"ranks": ["1-2"]}}


def test_a_job_that_no_node_can_run_is_refused_as_a_whole(harness: Harness) -> None:
    """Nothing of it is submitted; the reason names the entry; other jobs go on."""
    refused, fine = harness.receive(wants("4.0.0"), wants("2"))
    harness.run()
    row = harness.ledger.job(refused)
    assert row is not None
    assert (row.state, row.tasks) == (JobState.REFUSED, ())
    assert row.reason is not None
    # Without a line: the text is the sender's, written anew.
    assert row.reason.startswith("resources.new.requires[0]: no node here")
    assert "no node here has 'ior' from '4.0.0' in subsystem 'spack'" in row.reason
    assert harness.job(fine) is JobState.SUBMITTED


def test_what_was_not_submitted_before_a_crash_goes_where_it_passes_now(harness: Harness) -> None:
    """The nodes changed meanwhile; the tasks and their names did not."""
    (key,) = harness.receive(wants("3.0.0"))
    harness.dispatcher.planner.plan_new([key])
    harness.site = site("3.5.0", None, "2.9.0")
    harness.comes_back()
    harness.run()
    assert constraints(harness, key) == {"build": None, "ior": {"ranks": ["0"]}}


def test_no_node_passes_any_more_after_a_crash(harness: Harness) -> None:
    """The job is refused with the same words if nothing of it ever started."""
    (key,) = harness.receive(wants("3.0.0"))
    harness.dispatcher.planner.plan_new([key])
    harness.site = site("2.9.0")
    harness.comes_back()
    harness.run()
    assert harness.job(key) is JobState.REFUSED
    assert set(harness.states(key).values()) == {TaskState.FAILED}
    (reason,) = {row.reason for row in harness.ledger.tasks_of(key)}
    assert reason is not None
    assert "no node here has 'ior' from '3.0.0'" in reason


def test_what_has_no_effect_is_in_the_jobs_story(harness: Harness) -> None:
    """Nothing is ignored in silence: an unknown attribute is named, once."""
    tasks = [{"command": ["true"], "resources": "any", "attributes": {"color": "red"}}]
    resources = {"any": {"type": "core", "count": 1}}
    (key,) = harness.receive(json.dumps({"version": 1, "resources": resources, "tasks": tasks}))
    harness.run()
    harness.comes_back()
    (line,) = [line for line in harness.ledger.story(key) if line.now == WARNING]
    assert "the attribute 'color' is not known and has no effect" in line.cause
