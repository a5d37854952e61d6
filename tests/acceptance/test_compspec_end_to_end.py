"""What rainbow knows of a cluster is true, and stays true while jobs change it."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.jobspec.wire import to_wire
from support.common import eventually
from support.fleet import jobspec, task
from support.flux import private_flux
from support.program import installed
from support.servers import SchedulerKind, running_scheduler
from support.site import Site, missing_parts, running_site

PAIRS = [
    pytest.param((SchedulerKind.EMBEDDED, False), id="embedded-local"),
    pytest.param(
        (SchedulerKind.REAL, True), id="rainbow-flux", marks=[pytest.mark.rainbow, pytest.mark.flux]
    ),
]

#: Does to spack's database what `spack install NAME` does, without the hours of building.
SPACK = """\
#!/usr/bin/env python3
import json, os, sys
name, root = sys.argv[2], os.environ["SPACK_ROOT"]
folder = os.path.join(root, "opt", "spack", ".spack-db")
os.makedirs(folder, exist_ok=True)
index = os.path.join(folder, "index.json")
database = {"database": {"version": "8", "installs": {}}}
if os.path.exists(index):
    database = json.load(open(index))
spec = {
    "name": name, "version": "3.3.0", "namespace": "builtin", "hash": name * 4, "parameters": {},
    "arch": {"platform": "linux", "platform_os": "ubuntu22.04", "target": {"name": "zen3"}},
}
database["database"]["installs"][name * 4] = {
    "spec": spec, "path": os.path.join(root, name), "installed": True, "ref_count": 0,
    "explicit": True, "installation_time": 1715940000.0,
}
json.dump(database, open(index + ".tmp", "w"))
os.replace(index + ".tmp", index)
"""


@pytest.fixture(params=PAIRS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A cluster with an empty spack."""
    kind, flux = request.param
    missing = missing_parts(kind, flux=flux)
    if missing:
        pytest.skip(missing)
    environ = {"SPACK_ROOT": str(tmp_path / "spack")}
    with running_site(tmp_path, kind, flux=flux, environ=environ) as site:
        program = tmp_path / "spack" / "bin" / "spack"
        program.parent.mkdir(parents=True)
        program.write_text(SPACK)
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        yield site


def needs(subsystem: str, field: str, **wanted: str) -> dict[str, Any]:
    """A job that requires something of its node."""
    node = {"type": "node", "count": 1, "requires": [{"name": subsystem, "field": field, **wanted}]}
    return {**jobspec(task(["true"])), "resources": {"one": node}}


def fits(host: str, job: dict[str, Any]) -> set[bool]:
    """What the matcher says of a job, asked again and again."""
    with closing(RainbowScheduler(host)) as scheduler:
        return {"blue" in scheduler.satisfy(job).clusters for _ in range(10)}


def test_what_a_job_installs_the_next_job_may_require(site: Site) -> None:
    """The cluster is described from the start; `spack install ior` makes it match."""
    host, spack = site.scheduler.host, str(site.program.folder / "spack" / "bin" / "spack")
    with site.program.background("start") as agent:
        agent.says("Registered this cluster's")
        any_cpu = needs("system", "cpu.target", match=_target(site))
        assert fits(host, any_cpu) == {True}
        assert fits(host, needs("system", "cpu.target", match="vax")) == {False}
        assert fits(host, needs("spack", "ior", min="3.0.0")) == {False}

        for name in ("ior", "zlib"):
            site.fleet.send(jobspec(task([spack, "install", name]), name=name))
            site.program.await_end(1)
            eventually(
                lambda: fits(host, needs("spack", "ior", min="3.0.0")) == {True},
                "the cluster matches",
                seconds=30,
            )
        eventually(
            lambda: fits(host, needs("spack", "zlib", match="3.3.0")) == {True}, "both are there"
        )
        assert fits(host, needs("spack", "ior", match="3.3.0")) == {True}
        assert fits(host, needs("spack", "ior", min="4.0.0")) == {False}
        assert fits(host, any_cpu) == {True}
        status = site.program.show("status")
        assert agent.stop() == 0
    assert status["nodes"]["described"] == 1
    assert status["graph"]["form"] == "full"
    assert status["graph"]["sent"]
    assert status["graph"]["subsystems"]["spack"]["sent"]
    assert "registering again" not in agent.log()


def _target(site: Site) -> str:
    """This machine's, as the agent's own description has it."""
    (path,) = (site.program.state_dir / "cluster").glob("node-1.json")
    target = json.loads(path.read_text())["results"]["rainbow"]["sections"]["cpu"]["arch"]
    assert isinstance(target, str)
    return target


@pytest.mark.full
def test_a_start_that_finds_nothing_changed_says_nothing(site: Site) -> None:
    """And one that finds rainbow without its graphs tells it everything again."""
    host = site.scheduler.host
    with site.program.background("start") as agent:
        agent.says("Registered this cluster's")
        assert agent.stop() == 0
    with site.program.background("start") as agent:
        agent.says("rainbow gets its graph in the form")
        site.fleet.send(jobspec(task(["true"])))
        site.program.await_end(1)  # so it has looked at what rainbow has
        assert agent.stop() == 0
        assert "Registered this cluster's" not in agent.log()
        assert "changed; rainbow gets the new one" not in agent.log()
    site.scheduler.restart(keep_db=True)
    with site.program.background("start") as agent:
        agent.says("Registered this cluster's")
        eventually(
            lambda: fits(host, needs("system", "cpu.target", match=_target(site))) == {True},
            "the subsystems are there again",
        )
        assert agent.stop() == 0


@pytest.mark.flux
@pytest.mark.parametrize(
    "kind", [SchedulerKind.EMBEDDED, pytest.param(SchedulerKind.REAL, marks=pytest.mark.rainbow)]
)
@pytest.mark.parametrize("token", ["rainbow", ""], ids=["shared-token", "own-token"])
def test_a_node_that_goes_leaves_the_graph(tmp_path: Path, kind: SchedulerKind, token: str) -> None:
    """Four nodes, then three; jobs that wait at rainbow are still there, and run once."""
    missing = missing_parts(kind, flux=True)
    if missing:
        pytest.skip(missing)
    with (
        running_scheduler(kind, tmp_path, global_token=token) as scheduler,
        private_flux(size=4) as flux,
        installed(
            tmp_path,
            environ={"FLUX_URI": flux.uri},
            host=scheduler.host,
            cluster="blue",
            secret=scheduler.secret,
        ) as program,
        program.background("start") as agent,
        closing(RainbowScheduler(scheduler.host)) as rainbow,
    ):
        agent.says("Registered this cluster's")
        four = jobspec(task(["true"]), nodes=4)
        assert "blue" in rainbow.satisfy(four).clusters
        flux.run("flux", "overlay", "disconnect", "3")
        # Not by asking again and again: the real server would not survive it (decision 0005).
        agent.says("changed; rainbow gets the new one")
        said = "Registered this cluster's"
        eventually(lambda: agent.log().count(said) == 2, "the subsystems are sent again")
        assert "blue" not in rainbow.satisfy(four).clusters
        assert "blue" in rainbow.satisfy(jobspec(task(["true"]), nodes=3)).clusters
        answer = program.run("submit", "--nodes", "3", "--", "true")
        assert answer.code == 0, answer
        program.await_end(1)
        (row,) = program.rows()
        assert row.state.value == "completed"
        # The daemon says anew how it is every second or few.
        eventually(lambda: program.show("status")["nodes"]["up"] == 3, "status has three nodes")
        assert agent.stop() == 0


@pytest.mark.rainbow
@pytest.mark.flux
def test_a_thousand_nodes_register(tmp_path: Path) -> None:
    """128 cores and 8 GPUs each, made up by Flux: in one message, and a job for half matches."""
    missing = missing_parts(SchedulerKind.REAL, flux=True)
    if missing:
        pytest.skip(missing)
    made_up = ("nnodes=1000", "cores-per-node=128", "gpus-per-node=8")
    with (
        running_scheduler(SchedulerKind.REAL, tmp_path) as scheduler,
        private_flux(options=[f"--conf=fake-resources.{each}" for each in made_up]) as flux,
        installed(
            tmp_path,
            environ={"FLUX_URI": flux.uri},
            host=scheduler.host,
            cluster="blue",
            secret=scheduler.secret,
        ) as program,
        program.background("start") as agent,
        closing(RainbowScheduler(scheduler.host)) as rainbow,
    ):
        agent.says("Registered this cluster's")
        half = {"type": "node", "count": 500, "with": [{"type": "core", "count": 128}]}
        job = {**jobspec(task(["true"])), "resources": {"one": half}}
        assert to_wire(job)
        assert "blue" in rainbow.satisfy(job).clusters
        eventually(lambda: program.show("status")["graph"], "status knows what was sent")
        graph = program.show("status")["graph"]
        assert (graph["nodes"], graph["form"]) == (1000, "pooled")
        assert graph["bytes"] < 4 * 1024 * 1024
        assert agent.stop() == 0
