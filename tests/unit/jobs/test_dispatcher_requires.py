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
from support.dispatch import Desk
from support.ledger import checked_ledger


def site(*versions: str | None) -> Site:
    """Nodes of 4 cores, each with a version of ior or without any."""
    traits = {v: {"spack": ({"ior": v},)} if v else {} for v in versions}
    return Site(
        tuple(SiteNode(r, f"blue-{r}", 4, 0, traits=traits[v]) for r, v in enumerate(versions))
    )


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        desk = Desk(ledger)
        desk.plan_text = plan_text
        desk.connect()
        desk.site = site("2.9.0", "3.3.0", "3.3.0")
        yield desk


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


def constraints(desk: Desk, key: JobKey) -> dict[str, Any]:
    """Of a job's tasks, by name."""
    found = {}
    for name, flux_id in desk.ids(key).items():
        if flux_id is not None:
            jobspec = desk.server.jobs[flux_id].submission.jobspec
            found[name] = jobspec["attributes"]["system"].get("constraints")
    return found


def test_a_task_goes_to_the_nodes_that_pass(desk: Desk) -> None:
    """By rank; what asks nothing of the nodes may run anywhere."""
    (key,) = desk.receive(wants("3.0.0"))
    desk.run()
    assert constraints(desk, key) == {"build": None, "ior": {"ranks": ["1-2"]}}


def test_a_job_that_no_node_can_run_is_refused_as_a_whole(desk: Desk) -> None:
    """Nothing of it is submitted; the reason names the entry; other jobs go on."""
    refused, fine = desk.receive(wants("4.0.0"), wants("2"))
    desk.run()
    row = desk.ledger.job(refused)
    assert row is not None
    assert (row.state, row.tasks) == (JobState.REFUSED, ())
    assert row.reason is not None
    assert row.reason.startswith("resources.new.requires[0] (line 1, column ")
    assert "no node here has 'ior' from '4.0.0' in subsystem 'spack'" in row.reason
    assert desk.job(fine) is JobState.SUBMITTED


def test_what_was_not_submitted_before_a_crash_goes_where_it_passes_now(desk: Desk) -> None:
    """The nodes changed meanwhile; the tasks and their names did not."""
    (key,) = desk.receive(wants("3.0.0"))
    desk.dispatcher.plan_new([key])
    desk.site = site("3.5.0", None, "2.9.0")
    desk.comes_back()
    desk.run()
    assert constraints(desk, key) == {"build": None, "ior": {"ranks": ["0"]}}


def test_no_node_passes_any_more_after_a_crash(desk: Desk) -> None:
    """The job is refused with the same words if nothing of it ever started."""
    (key,) = desk.receive(wants("3.0.0"))
    desk.dispatcher.plan_new([key])
    desk.site = site("2.9.0")
    desk.comes_back()
    desk.run()
    assert desk.job(key) is JobState.REFUSED
    assert set(desk.states(key).values()) == {TaskState.FAILED}
    (reason,) = {row.reason for row in desk.ledger.tasks_of(key)}
    assert reason is not None
    assert "no node here has 'ior' from '3.0.0'" in reason


def test_what_has_no_effect_is_in_the_jobs_story(desk: Desk) -> None:
    """Nothing is ignored in silence: an attribute that nobody knows is named, once."""
    tasks = [{"command": ["true"], "resources": "any", "attributes": {"color": "red"}}]
    resources = {"any": {"type": "core", "count": 1}}
    (key,) = desk.receive(json.dumps({"version": 1, "resources": resources, "tasks": tasks}))
    desk.run()
    desk.comes_back()
    (line,) = [line for line in desk.ledger.story(key) if line.now == WARNING]
    assert "the attribute 'color' is not known and has no effect" in line.cause
