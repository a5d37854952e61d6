"""SIGKILL to the agent while a group runs: what is inside is still reported, and ran once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rainbow_agent.core.states import JobState, TaskState
from support.common import eventually
from support.fleet import jobspec, task
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site


@pytest.fixture(
    scope="module",
    params=[
        pytest.param((SchedulerKind.EMBEDDED, False), id="embedded-local"),
        pytest.param(
            (SchedulerKind.REAL, True),
            id="rainbow-flux",
            marks=[pytest.mark.rainbow, pytest.mark.flux],
        ),
    ],
)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A registered cluster whose agent does not run."""
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    with running_site(tmp_path_factory.mktemp("site"), kind, flux=flux) as site:
        assert site.program.run("register").code == 0
        yield site


def test_an_agent_that_is_killed_while_a_group_runs(site: Site) -> None:
    """Killed in the middle, and back after the group's end: every state and code is there."""
    inside = [
        task(site.writes("a"), "a"),
        task(["sh", "-c", f"sleep 3; echo b >> {site.marks}"], "b", depends_on=["a"]),
        task(["sh", "-c", f"echo c >> {site.marks}; exit 5"], "c", depends_on=["b"]),
        {"name": "last", "local": True, "command": site.writes("last")},
    ]
    document = jobspec(task(site.writes("first"), "first"), name="grouped")
    document["groups"] = [
        {"name": "g", "resources": "one", "depends_on": ["first"], "tasks": inside}
    ]
    site.fleet.send(document)
    with site.program.background("start") as agent:
        eventually(lambda: "a" in site.written(), "the group has begun")
        agent.kill()
    eventually(lambda: "last" in site.written(), "the group is at its end")
    with site.program.background("start") as agent:
        site.program.await_end(1)
        assert agent.stop() == 0
    (row,) = site.program.rows()
    found = {t.key.task: (t.state, t.exit_code) for t in row.tasks}
    assert found == {
        "first": (TaskState.COMPLETED, 0),
        "g": (TaskState.FAILED, 1),
        "g/a": (TaskState.COMPLETED, 0),
        "g/b": (TaskState.COMPLETED, 0),
        "g/c": (TaskState.FAILED, 5),
        "g/last": (TaskState.COMPLETED, 0),
    }
    assert row.state is JobState.FAILED
    assert site.written() == ["first", "a", "b", "c", "last"]
