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


def test_when_a_job_is_expected_to_start(tmp_path: Path) -> None:
    """Fluxion reserves, by its policy `easy`; explain says when, and rainbow can ask for it."""
    need_parts(fluxion=True)
    policy = ["--conf=sched-fluxion-qmanager.queue-policy=easy"]
    with (
        private_flux(scheduler="fluxion", options=policy) as flux,
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
