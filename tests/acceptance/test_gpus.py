"""Jobs for GPUs run where the scheduler gives GPUs, and are refused with a reason elsewhere."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.states import JobState
from rainbow_agent.workload.flux import workload
from support.common import eventually
from support.fleet import jobspec, task
from support.flux import PrivateFlux, private_flux, version
from support.outages import is_up
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

#: Of flux-core, since which sched-simple gives GPUs.
GPUS_SINCE = (0, 84)
#: One node with GPUs, whatever the machine has.
CONFIG = """\
[resource]
noverify = true
[[resource.config]]
hosts = "{host}"
cores = "0-1"
gpus = "0-1"
"""

pytestmark = pytest.mark.flux


@pytest.fixture
def flux(tmp_path: Path) -> Iterator[PrivateFlux]:
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=True):
        pytest.skip(missing)
    config = tmp_path / "flux.d"
    config.mkdir()
    (config / "resource.toml").write_text(CONFIG.format(host=socket.gethostname()))
    with private_flux(options=[f"-o,--config-path={config}"]) as instance:
        yield instance


@pytest.fixture
def site(flux: PrivateFlux, tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path, flux=flux, poll_max=2) as site:
        assert site.program.run("register").code == 0
        yield site


def gives_gpus() -> bool:
    """Whether the scheduler of this run of the tests does."""
    return os.environ.get("TEST_SCHEDULER") == "fluxion" or version() >= GPUS_SINCE


def test_a_job_for_a_gpu(site: Site) -> None:
    """It ends as status, doctor and satisfy say."""
    document = jobspec(task(["true"], "main"), name="gpu")
    document["resources"]["one"]["with"].append({"type": "gpu", "count": 1})
    path = site.program.folder / "gpu.json"
    path.write_text(json.dumps(document))
    fits = site.program.run("satisfy", str(path))
    with site.program.background("start") as agent:
        is_up(agent, site)
        site.fleet.send(document)
        over = (JobState.COMPLETED, JobState.REFUSED, JobState.FAILED)
        eventually(
            lambda: [row.state in over for row in site.program.rows()] == [True],
            "over",
            seconds=120,
        )
        reasons = {each["name"] for each in site.program.show("status")["reasons"]}
        faults = {line["fault"] for line in site.program.show("doctor")}
    (row,) = site.program.rows()
    if gives_gpus():
        assert (row.state, fits.code) == (JobState.COMPLETED, 0), row.reason
        assert "gpus-not-given" not in reasons | faults
    else:
        assert (row.state, fits.code) == (JobState.REFUSED, 1), row.reason
        assert "gpu" in str(row.reason)
        assert "2 GPUs more cannot be given" in fits.out
        assert {"gpus-not-given"} <= reasons & faults


def test_without_a_scheduler_it_is_as_it_was(
    flux: PrivateFlux, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rainbow is told nothing new of GPUs while the scheduler is away."""
    monkeypatch.setattr(workload, "_SCHEDULER_KNOWN_S", 0.0)
    with closing(workload.FluxWorkload(flux.uri)) as there:
        before = there.resources().nodes
        assert (before[0].gpus > 0) == gives_gpus()
        flux.unload_scheduler()
        assert [node.gpus for node in there.resources().nodes] == [node.gpus for node in before]
