"""Random jobspecs with groups while the agent is killed: order, ends and once all the same."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from functools import partial
from threading import Event

import pytest

from rainbow_agent.core.states import FINAL_JOB_STATES
from support.common import eventually
from support.groups import Node, expect_as_said, jobspec_of, random_scope
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

SEED = 20240517
KILLS = 4


@pytest.fixture(
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


def with_group(rng: random.Random) -> list[Node]:
    """The next random scope that has a group, and is not so large that it takes long."""
    while True:
        nodes = random_scope(rng)
        groups = str(nodes).count("'group'")
        if 1 <= groups <= 2:
            return nodes


def written(site: Site, name: str) -> list[str]:
    """What commands of a job wrote: the names of their tasks."""
    return [line.removeprefix(f"{name}/") for line in site.written() if line.startswith(f"{name}/")]


def test_random_groups_and_kills(site: Site) -> None:
    """Nothing starts before what it needs ended well; all that can run runs; each once."""
    rng = random.Random(SEED)
    jobs: dict[str, list[Node]] = {}
    in_the_middle = 0
    for kill in range(KILLS):
        name = f"random-{kill}"
        jobs[name] = with_group(rng)
        site.fleet.send(jobspec_of(jobs[name], site.marks, name))
        with site.program.background("start") as agent:
            if kill:  # the first dies somewhere in its start
                eventually(partial(written, site, name), f"{name} has begun")
            Event().wait(rng.uniform(0.0, 0.3))  # the moment is what is random here
            agent.kill()
            assert agent.wait() == -signal.SIGKILL, agent.log()
        in_the_middle += any(row.state not in FINAL_JOB_STATES for row in site.program.rows())
    site.program.until_idle()
    rows = {row.name: row for row in site.program.rows()}
    assert rows.keys() == jobs.keys()
    assert len(site.program.rows()) == KILLS
    for name, nodes in jobs.items():
        expect_as_said(nodes, rows[name].tasks, written(site, name))
    assert in_the_middle, "no kill met a job that was under way"
    assert site.fleet.waiting() == []
