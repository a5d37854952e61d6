"""Flux's scheduler is exchanged under a running agent: no job is lost or run twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.states import JobState
from support.common import eventually
from support.fleet import jobspec, task
from support.flux import NO_FLUXION, SCHEDULER_MODULES, fluxion_environ, private_flux
from support.flux import PrivateFlux as Flux
from support.outages import is_up
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

#: Seconds for what takes Flux and a round, on a machine that is busy.
LIMIT_S = 120.0

#: Fluxion's queue policies that reserve nodes for jobs that wait.
RESERVING = ("easy", "conservative")

pytestmark = pytest.mark.flux


def need_parts(*, fluxion: bool) -> None:
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=True):
        pytest.skip(missing)
    if fluxion and fluxion_environ() is None:
        pytest.skip(NO_FLUXION)


@pytest.fixture
def swapped(tmp_path: Path) -> Iterator[tuple[Site, Flux]]:
    """An instance that can load either scheduler."""
    need_parts(fluxion=True)
    with (
        private_flux(scheduler="fluxion") as flux,
        running_site(tmp_path, flux=flux, poll_max=2) as site,
    ):
        assert site.program.run("register").code == 0
        yield site, flux


def completed(site: Site) -> list[str]:
    rows = site.program.rows()
    return sorted(row.name for row in rows if row.state is JobState.COMPLETED)


def test_schedulers_change_under_waiting_jobs(swapped: tuple[Site, Flux]) -> None:
    """Fluxion, none, sched-simple, none, Fluxion: one job runs meanwhile, others wait."""
    site, flux = swapped
    sent: list[str] = []

    def send(name: str, *command: str) -> None:
        site.fleet.send(jobspec(task(list(command), "main"), name=name))
        sent.append(name)

    with site.program.background("start") as agent:
        is_up(agent, site)
        send("runs", "sh", "-c", f"sleep 5; echo runs >> {site.marks}")
        for turn, modules in enumerate([SCHEDULER_MODULES[:1], SCHEDULER_MODULES[1:]]):
            flux.unload_scheduler()
            send(f"waits-{turn}", *site.writes(f"waits-{turn}"))
            eventually(
                lambda: (
                    all(t.flux_id for row in site.program.rows() for t in row.tasks)
                    and len(site.program.rows()) == len(sent)
                ),
                "Flux has all jobs",
                seconds=LIMIT_S,
            )
            flux.load_scheduler(modules)
            send(f"after-{turn}", *site.writes(f"after-{turn}"))
            eventually(lambda: completed(site) == sorted(sent), "all ran", seconds=LIMIT_S)
        assert agent.stop() == 0
    assert sorted(site.written()) == sorted(sent)


@pytest.mark.parametrize("policy", RESERVING)
def test_when_a_job_is_expected_to_start(tmp_path: Path, policy: str) -> None:
    """Fluxion reserves by these policies; explain says when, and rainbow can ask for it."""
    need_parts(fluxion=True)
    options = [f"--conf=sched-fluxion-qmanager.queue-policy={policy}"]
    with (
        private_flux(scheduler="fluxion", options=options) as flux,
        running_site(tmp_path, flux=flux, poll_max=2) as site,
    ):
        assert site.program.run("register").code == 0
        with site.program.background("start") as agent:
            is_up(agent, site)
            for name in ("first", "second"):
                each = jobspec(task(["sleep", "60"], "main", duration="5m"), name=name)
                each["resources"]["one"]["exclusive"] = True
                site.fleet.send(each)
            eventually(lambda: len(site.program.rows()) == 2, "both are here", seconds=LIMIT_S)
            last = str(site.program.rows()[-1].key.id)

            def waits() -> list[str]:
                return [w["for"] for w in site.program.show("explain", last)["waits"]]

            expected = "for free resources, expected to start at 20"
            eventually(
                lambda: any(each.startswith(expected) for each in waits()), "", seconds=LIMIT_S
            )
            eventually(
                lambda: site.fleet.state_holds("expected_wait_s > 10"), "reported", seconds=LIMIT_S
            )
            assert agent.stop() == 0


@pytest.mark.parametrize("policy", RESERVING)
def test_a_queue_that_reserves(tmp_path: Path, policy: str) -> None:
    """A short job passes those that wait for all nodes; a drained node takes away no place."""
    need_parts(fluxion=True)
    options = [f"--conf=sched-fluxion-qmanager.queue-policy={policy}"]
    with (
        private_flux(size=2, scheduler="fluxion", options=options) as flux,
        running_site(tmp_path, flux=flux, poll_max=2) as site,
    ):
        assert site.program.run("register").code == 0

        def send(name: str, nodes: int, command: list[str], duration: str) -> None:
            each = jobspec(task(command, "main", duration=duration), name=name, nodes=nodes)
            each["resources"]["one"]["exclusive"] = True
            site.fleet.send(each)

        def state(name: str) -> JobState | None:
            return {row.name: row.state for row in site.program.rows()}.get(name)

        with site.program.background("start") as agent:
            is_up(agent, site)
            holds = ["sh", "-c", f"while ! test -e {tmp_path}/over; do sleep 0.1; done"]
            send("first", 1, holds, "30m")
            eventually(lambda: state("first") is JobState.RUNNING, "runs", seconds=LIMIT_S)
            for name in ("second", "third"):
                send(name, 2, site.writes(name), "30m")
            waiting = ("second", "third")
            eventually(
                lambda: all(state(name) is JobState.SUBMITTED for name in waiting),
                "they wait",
                seconds=LIMIT_S,
            )
            send("short", 1, site.writes("short"), "1m")
            eventually(lambda: state("short") is JobState.COMPLETED, "passes", seconds=LIMIT_S)
            flux.run("flux", "resource", "drain", "1", "maintenance")
            send("fourth", 1, ["true"], "1m")
            eventually(lambda: state("fourth") is not None, "is here", seconds=LIMIT_S)
            (tmp_path / "over").touch()
            eventually(lambda: state("first") is JobState.COMPLETED, "over", seconds=LIMIT_S)
            flux.run("flux", "resource", "undrain", "1")
            names = ("first", "second", "third", "short", "fourth")
            eventually(
                lambda: all(state(name) is JobState.COMPLETED for name in names),
                "all completed",
                seconds=LIMIT_S,
            )
            assert agent.stop() == 0
    assert sorted(site.written()) == sorted(["short", *["second", "third"] * 2])
