"""Rainbow forgets: its graphs with each restart, everything when its database is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.common import eventually
from support.fleet import jobspec, task
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site


def registration(site: Site) -> str | None:
    if not site.program.state_dir.exists():  # which `status` would say with status 2
        return None
    found = site.program.show("status")["registration"]
    assert found is None or isinstance(found, str)
    return found


@pytest.mark.parametrize(
    "kind", [SchedulerKind.EMBEDDED, pytest.param(SchedulerKind.REAL, marks=pytest.mark.rainbow)]
)
@pytest.mark.full
def test_a_rainbow_that_forgets(kind: SchedulerKind, tmp_path: Path) -> None:
    """The graph is loaded again; without its database the cluster registers again, ids start at 1.

    A job that began before the loss ends after it, under the registration that it came with.
    """
    if missing := missing_parts(kind, flux=False):
        pytest.skip(missing)
    gate = tmp_path / "gate"
    waits = ["sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done"]
    with running_site(tmp_path, kind) as site, site.program.background("start") as agent:
        eventually(lambda: registration(site), "the cluster is registered")
        old = registration(site)
        site.fleet.send(jobspec(task(waits), name="long"))
        eventually(lambda: len(site.program.rows()) == 1, "the job was received")

        site.scheduler.restart(keep_db=True)
        eventually(site.fleet.fits, "the graph is back")
        site.fleet.send(jobspec(task(["true"]), name="after-graph"))
        eventually(lambda: len(site.program.rows()) == 2, "jobs come after the first restart")
        assert registration(site) == old

        site.scheduler.restart(keep_db=False)
        eventually(lambda: registration(site) not in (None, old), "the cluster registered again")
        eventually(site.fleet.fits, "the new graph is there")
        site.fleet.send(jobspec(task(["true"]), name="after-loss"))
        eventually(lambda: len(site.program.rows()) == 3, "jobs come after the second restart")
        gate.touch()
        site.program.await_end(3)
        eventually(lambda: not site.unreported(), "rainbow has the reports")
        new = registration(site)
        assert agent.stop() == 0, agent.log()

        jobs = site.program.show("jobs")
        assert [(j["name"], j["id"], j["registration"]) for j in jobs] == [
            ("long", 1, old),
            ("after-graph", 2, old),
            ("after-loss", 1, new),
        ]
        assert {j["state"] for j in jobs} == {"completed"}
        either = site.program.run("jobs", "1")
        assert either.code == 1
        assert f"{old}/1" in either.err
        assert f"{new}/1" in either.err
        assert site.program.show("jobs", f"{old}/1")[0]["name"] == "long"
        assert site.fleet.waiting() == []
