"""Upstream's register.py writes another cluster's secret under our name: the agent's copy helps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from support.common import eventually
from support.fleet import jobspec, task
from support.program import Running
from support.servers import SchedulerKind, make_graph
from support.site import Site, missing_parts, running_site

KINDS = [
    pytest.param(SchedulerKind.EMBEDDED, id="embedded", marks=pytest.mark.full),
    pytest.param(SchedulerKind.REAL, id="rainbow", marks=pytest.mark.rainbow),
]


@pytest.fixture(params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A cluster that is registered."""
    kind = request.param
    if missing := missing_parts(kind, flux=False):
        pytest.skip(missing)
    with running_site(tmp_path, kind) as site:
        assert site.program.run("register").code == 0
        yield site


def registered_by_upstream(site: Site) -> tuple[str, str]:
    """As register.py does with a config file that is there; our secret, and what is now there.

    It registers `red`, puts red's secret in the place of ours and leaves `cluster.name`
    (075ee23, python/v1/examples/flux/register.py).
    """
    with closing(RainbowScheduler(site.scheduler.host)) as scheduler:
        given = scheduler.register("red", site.scheduler.secret, make_graph())
    document = yaml.safe_load(site.program.config.read_text(encoding="utf-8"))
    ours, document["cluster"]["secret"] = document["cluster"]["secret"], given.secret
    document["clusters"].append({"name": "red", "token": given.token})
    site.program.config.write_text(yaml.safe_dump(document), encoding="utf-8")
    return ours, given.secret


def expect_repaired(site: Site, agent: Running, ours: str) -> None:
    """Our secret is back, red's token stays, the cause is named, and jobs run."""
    eventually(lambda: site.fleet.credentials.cluster_secret == ours, "the secret is back")
    assert site.fleet.credentials.token_of("red")
    site.fleet.send(jobspec(task(site.writes("ran"))))
    eventually(lambda: site.written() == ["ran"], "it runs jobs")
    assert "upstream's register.py does that to a file that exists" in agent.log()


def test_a_start_with_anothers_secret(site: Site) -> None:
    """The membership and its jobs are kept."""
    ours, _ = registered_by_upstream(site)
    with site.program.background("start") as agent:
        expect_repaired(site, agent, ours)
        assert {row.key.registration for row in site.program.rows()} == {
            site.program.show("status")["registration"]
        }
        assert agent.stop() == 0, agent.log()


def test_a_running_agent_keeps_its_secret(site: Site) -> None:
    """What another program writes into the file meanwhile does no harm, nor at the next start."""
    with site.program.background("start") as agent:
        agent.says("Caught up")
        ours, _ = registered_by_upstream(site)
        site.scheduler.restart(keep_db=True)  # it asks again for what it needs
        eventually(lambda: _is_member(site, ours), "it is a member")
        agent.kill()
    with site.program.background("start") as agent:
        expect_repaired(site, agent, ours)
        assert agent.stop() == 0, agent.log()


def _is_member(site: Site, secret: str) -> bool:
    """Whether rainbow has a graph of ours again."""
    with closing(RainbowScheduler(site.scheduler.host)) as scheduler:
        scheduler.receive("blue", secret, 1)
        asked = {"resources": {"r": {"type": "node", "count": 1}}}
        return "blue" in scheduler.satisfy(asked).clusters
