"""What keeps jobs from starting is said by status, /readyz, explain and doctor: over real Flux."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.notation import f58
from rainbow_agent.core.states import JobState
from support.common import eventually
from support.fleet import jobspec, task
from support.flux import PrivateFlux, private_flux
from support.http import Visitor
from support.outages import is_up
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

QUEUES = (
    "--conf=queues.batch={}",
    "--conf=queues.debug={}",
    '--conf=policy.jobspec.defaults.system.queue="batch"',
)
#: Seconds in which a condition appears or disappears, on a machine that is busy.
CONDITION_S = 120.0

pytestmark = pytest.mark.flux


@pytest.fixture
def flux() -> Iterator[PrivateFlux]:
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=True):
        pytest.skip(missing)
    with private_flux(options=QUEUES) as instance:
        instance.run("flux", "queue", "start", "--all")
        yield instance


@pytest.fixture
def site(flux: PrivateFlux, tmp_path: Path) -> Iterator[Site]:
    with running_site(tmp_path, flux=flux, http="127.0.0.1:0", poll_max=2) as site:
        assert site.program.run("register").code == 0
        yield site


def sent(site: Site, name: str, queue: str = "", *, state: JobState = JobState.SUBMITTED) -> int:
    """A job that was sent and is in this state; its id."""
    spec = jobspec(task(["true"], "main"), name=name)
    if queue:
        spec["attributes"] = {"queue": queue}
    site.fleet.send(spec)

    def found() -> list[int]:
        return [r.key.id for r in site.program.rows() if r.name == name and r.state is state]

    eventually(lambda: bool(found()), f"{name} is {state.value}", seconds=60)
    return found()[0]


def says(site: Site, job: int, words: str, cure: str = "") -> None:
    """`explain` says that the job still waits for this, and for nothing else; and what to do."""

    def found() -> bool:
        view = site.program.show("explain", str(job))
        waits = [wait["for"] for wait in view["waits"] if wait["to"] is None]
        return len(waits) == 1 and words in waits[0] and cure in (view["advice"] or "")

    eventually(found, words, seconds=60)


def reasons(site: Site) -> dict[str, str]:
    return {r["name"]: r["reason"] for r in site.program.show("status")["reasons"]}


def faults(site: Site) -> dict[str, str]:
    lines = site.program.show("doctor")
    return {line["fault"]: line["text"] for line in lines if line["fault"]}


def completes(site: Site, job: int) -> None:
    """The job ends well, and nothing is wrong any more."""

    def over() -> bool:
        rows = {row.key.id: row.state for row in site.program.rows()}
        return rows[job] is JobState.COMPLETED

    eventually(over, "it completed", seconds=CONDITION_S)
    eventually(lambda: reasons(site) == {}, "nothing is wrong", seconds=CONDITION_S)
    assert Visitor(site.program).wrong("/readyz") == []


def test_a_stopped_queue(site: Site, flux: PrivateFlux) -> None:
    """In the operator's words; a queue that only one job names is that job's affair."""
    with site.program.background("start") as agent:
        is_up(agent, site)
        flux.queue("stop", "batch", "maintenance until noon")
        job = sent(site, "waits")
        says(site, job, "maintenance until noon", "`flux queue start batch`")
        eventually(lambda: "queue-stopped" in reasons(site), "a condition", seconds=CONDITION_S)
        assert "the queue batch is stopped" in reasons(site)["queue-stopped"]
        assert Visitor(site.program).wrong("/readyz") == ["workload"]
        story = Visitor(site.program).get(f"/api/jobs/{registration(site)}/{job}/explain").text
        assert "maintenance until noon" in story
        assert "maintenance until noon" in faults(site)["queue-stopped"]
        flux.queue("start", "batch")
        completes(site, job)
        flux.queue("stop", "debug")
        one = sent(site, "names-debug", "debug")
        says(site, one, "the queue debug is stopped", "`flux queue start debug`")
        assert set(faults(site)) == set()
        assert reasons(site) == {}
        assert agent.stop() == 0
    says(site, one, "the queue debug is stopped")
    flux.kill()
    says(site, one, "for an answer of the workload manager: ", "`rainbow-agent doctor`")


def test_a_flux_without_a_scheduler(site: Site, flux: PrivateFlux) -> None:
    """Jobs are taken and none starts, until one is loaded."""
    with site.program.background("start") as agent:
        is_up(agent, site)
        modules = flux.unload_scheduler()
        job = sent(site, "waits")
        says(site, job, "for a scheduler: no scheduler is loaded", "`flux module load")
        eventually(lambda: set(reasons(site)) == {"no-scheduler"}, "said", seconds=CONDITION_S)
        assert Visitor(site.program).wrong("/readyz") == ["workload"]
        assert "no-scheduler" in faults(site)
        flux.load_scheduler(modules)
        completes(site, job)


def test_a_disabled_queue(site: Site, flux: PrivateFlux) -> None:
    """No job is taken: it waits in the agent, which says for what, and is not refused."""
    with site.program.background("start") as agent:
        is_up(agent, site)
        flux.queue("disable", "batch", "moving house")
        job = sent(site, "waits", state=JobState.RECEIVED)
        says(site, job, "for the agent to submit it: ", "`flux queue enable`")
        eventually(lambda: "queue-disabled" in reasons(site), "said", seconds=CONDITION_S)
        assert "moving house" in reasons(site)["queue-disabled"]
        assert {"queue-disabled"} <= set(faults(site))
        flux.queue("enable", "batch")
        completes(site, job)


def test_queues_without_a_default(tmp_path: Path) -> None:
    """A job that names none waits, which is nobody's jobspec; what to set is said."""
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=True):
        pytest.skip(missing)
    with (
        private_flux(options=QUEUES[:2]) as flux,
        running_site(tmp_path, flux=flux, http="127.0.0.1:0", poll_max=2) as site,
    ):
        flux.run("flux", "queue", "start", "--all")
        assert site.program.run("register").code == 0
        with site.program.background("start") as agent:
            is_up(agent, site)
            job = sent(site, "waits", state=JobState.RECEIVED)
            says(site, job, "for the agent to submit it: ", "set `RAINBOW_QUEUE`")
            assert "takes-no-jobs" in faults(site)


def test_a_held_job(site: Site, flux: PrivateFlux) -> None:
    """The instance's owner holds it: it waits to be released, with all cores free."""
    with site.program.background("start") as agent:
        is_up(agent, site)
        flux.queue("stop", "batch")
        job = sent(site, "kept")
        (row,) = [row for row in site.program.rows() if row.key.id == job]
        flux_id = row.tasks[0].flux_id
        assert flux_id is not None
        flux.run("flux", "job", "urgency", f58(flux_id), "hold")
        flux.queue("start", "batch")
        says(site, job, "to be released: it is held")
        flux.run("flux", "job", "urgency", f58(flux_id), "default")
        completes(site, job)
        assert agent.stop() == 0


def registration(site: Site) -> str:
    return str(site.program.show("status")["registration"])
