"""Flux, its ranks, the local one, the clock: healed, and timed (docs/reliability.md)."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from rainbow_agent.core.model import JobRow
from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.runtime import fault_injection
from support.common import eventually
from support.fleet import jobspec, task
from support.flux import NO_FLUX, PrivateFlux, flux_command, private_flux
from support.http import Visitor
from support.outages import Timer, is_up, runs_a_job, states_of, waits
from support.servers import SchedulerKind
from support.site import missing_parts, running_site


def test_the_local_workload_manager_is_killed(tmp_path: Path, timer: Timer) -> None:
    """The local workload manager is killed: the next one takes its place, and jobs run."""
    with running_site(tmp_path) as site, site.program.background("start") as agent:
        is_up(agent, site)
        runs_a_job(site, 1)
        pid = int((site.program.state_dir / "workload" / "server.lock").read_text())
        assert pid != os.getpid()
        server = psutil.Process(pid)
        server.kill()
        with timer("the local workload manager killed", "local", "a job runs in its successor"):
            runs_a_job(site, 2)
        assert site.written() == ["job 1", "job 2"]


@pytest.mark.full
def test_the_local_workload_manager_stands_still(tmp_path: Path, timer: Timer) -> None:
    """Its process is stopped for a while: a job that came meanwhile runs once when it continues."""
    with running_site(tmp_path) as site, site.program.background("start") as agent:
        is_up(agent, site)
        runs_a_job(site, 1)
        server = psutil.Process(int((site.program.state_dir / "workload/server.lock").read_text()))
        server.suspend()
        try:
            site.fleet.send(jobspec(task(site.writes("job 2"))))
            eventually(lambda: len(site.program.rows()) == 2, "it came")
            threading.Event().wait(3.0)
            assert site.written() == ["job 1"]
        finally:
            server.resume()
        with timer("the local workload manager stopped for 3 s", "local", "what waited has run"):
            site.program.await_end(2)
        runs_a_job(site, 3)
        assert site.written() == ["job 1", "job 2", "job 3"]
        assert agent.stop() == 0, agent.log()


@pytest.mark.flux
def test_the_broker_stands_still(tmp_path: Path, timer: Timer) -> None:
    """Flux does not answer for a while: a job that came meanwhile runs once when it does."""
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    with (
        private_flux() as flux,
        running_site(tmp_path, flux=flux) as site,
        site.program.background("start") as agent,
    ):
        is_up(agent, site)
        runs_a_job(site, 1)
        broker = psutil.Process(flux.broker(0))
        broker.suspend()
        try:
            site.fleet.send(jobspec(task(site.writes("job 2"))))
            eventually(lambda: len(site.program.rows()) == 2, "it came")
            threading.Event().wait(3.0)
            assert site.program.show("status")["daemon"]["running"]
        finally:
            broker.resume()
        with timer("Flux's broker stopped for 3 s", "flux", "what waited has run"):
            site.program.await_end(2)
        runs_a_job(site, 3)
        assert site.written() == ["job 1", "job 2", "job 3"]
        assert agent.stop() == 0, agent.log()


@pytest.mark.flux
def test_flux_is_not_there_when_the_agent_starts(tmp_path: Path, timer: Timer) -> None:
    """Its socket is gone: `status` says so, nothing is taken, and all continues when it is back."""
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    with private_flux() as flux, running_site(tmp_path, flux=flux) as site:
        with site.program.background("start") as agent:
            is_up(agent, site)
            runs_a_job(site, 1)
            agent.kill()
        socket = Path(flux.uri.removeprefix("local://"))
        aside = socket.with_name("aside")
        socket.rename(aside)
        site.fleet.send(jobspec(task(site.writes("job 2"))))
        with site.program.background("start") as agent:

            def told() -> bool:
                status = site.program.show("status")
                names = [each["name"] for each in status["reasons"]]
                return "workload-unreachable" in names and not status["workload"]["reachable"]

            eventually(told, "status says so", seconds=60)
            assert len(site.program.rows()) == 1
            aside.rename(socket)
            with timer("Flux's socket gone at the start", "flux", "what waited has run"):
                site.program.await_end(2)
            eventually(lambda: site.program.show("status")["reasons"] == [], "all is well")
            assert site.written() == ["job 1", "job 2"]
            assert agent.stop() == 0, agent.log()


@pytest.mark.flux
@pytest.mark.parametrize("on_lost", ["fail", "resubmit"])
def test_flux_instance_replaced(tmp_path: Path, timer: Timer, on_lost: str) -> None:
    """What waited is submitted to the next instance; what ran follows RAINBOW_ON_LOST."""
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    gate = tmp_path / "gate"
    waits = f'echo begun >> "$1"; while [ ! -e {gate} ]; do sleep 0.05; done; echo ended >> "$1"'
    with running_site(tmp_path, workload="flux", on_lost=on_lost) as site:
        ran = ["sh", "-c", waits, "sh", str(site.marks)]
        after = task(site.writes("after"), "after", depends_on=["ran"])
        with private_flux() as flux:
            with site.program.background("start") as _:
                pass
            site.program.environ["FLUX_URI"] = flux.uri
            with site.program.background("start") as agent:
                is_up(agent, site)
                site.fleet.send(jobspec(task(ran, "ran"), after, name="both"))
                eventually(lambda: site.written() == ["begun"], "it runs")
                eventually(
                    lambda: [r.state for r in site.program.rows()] == [JobState.RUNNING], "known"
                )
                flux.kill()
                eventually(
                    lambda: site.program.show("status")["workload"]["reachable"] is False, "seen"
                )
                agent.kill()
        gate.touch()
        with private_flux() as flux:
            site.program.environ["FLUX_URI"] = flux.uri
            with site.program.background("start") as agent:
                with timer(
                    f"Flux replaced, RAINBOW_ON_LOST={on_lost}", "flux", "every task is resolved"
                ):
                    site.program.await_end(1)
                eventually(lambda: not site.unreported(), "it shows")
                assert agent.stop() == 0
        (job,) = site.program.rows()
        states = {row.key.task: row.state for row in job.tasks}
        if on_lost == "fail":
            assert job.state is JobState.LOST
            assert states == {"ran": TaskState.LOST, "after": TaskState.CANCELED}
            assert "RAINBOW_ON_LOST=fail" in (job.reason or "")
            assert "after" not in site.written()
        else:
            assert job.state is JobState.COMPLETED
            assert site.written().count("after") == 1
        assert "was replaced" in site.program.logs()


@pytest.mark.flux
@pytest.mark.parametrize("kept", [True, False], ids=["with its state", "killed, without it"])
def test_flux_is_restarted_under_a_living_agent(
    tmp_path: Path, timer: Timer, *, kept: bool
) -> None:
    """Another instance answers at the socket: nothing runs twice; what ended there is reported."""
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    state, door, gate = tmp_path / "flux-state", tmp_path / "door", tmp_path / "gate"
    state.mkdir()
    with (
        running_site(tmp_path, workload="flux", environ={"FLUX_URI": f"local://{door}"}) as site,
        ExitStack() as stack,
    ):

        def start_flux() -> PrivateFlux:
            options = [f"-Sstatedir={state}"] if kept else []
            flux = stack.enter_context(private_flux(options=options))
            door.unlink(missing_ok=True)
            door.symlink_to(flux.uri.removeprefix("local://"))
            return flux

        first = start_flux()
        flux_alone = stack.pop_all()
        stack.callback(flux_alone.close)
        agent = stack.enter_context(site.program.background("start"))
        is_up(agent, site)
        runs_a_job(site, 1)
        after = task(site.writes("after"), "after", depends_on=["ran"])
        site.fleet.send(jobspec(task(waits(gate), "ran"), after, name="both"))
        eventually(lambda: states_of(site).get("both") is JobState.RUNNING, "it runs")
        if not kept:
            first.kill()
        flux_alone.close()
        gate.touch()
        eventually(
            lambda: site.program.show("status")["workload"]["reachable"] is False,
            "status says so",
            seconds=60,
        )
        site.fleet.send(jobspec(task(site.writes("job 2"))))
        start_flux()
        what = "Flux restarted with its state" if kept else "Flux killed, a new one at its socket"
        with timer(what, "flux", "a job is received, run and reported"):
            eventually(lambda: "job 2" in site.written(), "it runs", seconds=90)
        site.program.await_end(3)
        eventually(lambda: not site.unreported(), "rainbow has the reports")
        # A Flux that is shut down cancels what runs; one that is killed says nothing.
        assert states_of(site)["both"] is (JobState.CANCELED if kept else JobState.LOST)
        assert site.written() == ["job 1", "job 2"]
        assert agent.stop() == 0, agent.log()


@pytest.mark.flux
def test_a_task_that_was_purged_runs_once_also_where_flux_is_restarted(tmp_path: Path) -> None:
    """It ended, was purged and Flux restarted with its state, all while no agent was there."""
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    options = [f"-Sstatedir={tmp_path / 'flux-state'}"]
    (tmp_path / "flux-state").mkdir()
    with running_site(tmp_path, workload="flux", on_lost="resubmit") as site:
        with private_flux(options=options) as flux:
            site.program.environ["FLUX_URI"] = flux.uri
            flux.queue("stop")  # so the agent dies with it submitted, not started
            with site.program.background("start") as agent:
                is_up(agent, site)
                site.fleet.send(jobspec(task(site.writes("ran"), "ran"), name="once"))
                eventually(
                    lambda: (
                        [t.state for r in site.program.rows() for t in r.tasks]
                        == [TaskState.SUBMITTED]
                    ),
                    "it is submitted",
                )
                agent.kill()
            flux.queue("start")
            flux.queue("drain")
            assert site.written() == ["ran"]
            assert "purged 1 " in flux.run("flux", "job", "purge", "--force", "--num-limit=0")
        with private_flux(options=options) as flux:
            site.program.environ["FLUX_URI"] = flux.uri
            with site.program.background("start") as agent:
                site.program.await_end(1)
                eventually(lambda: not site.unreported(), "rainbow has the reports")
                site.fleet.send(jobspec(task(site.writes("next"))))
                site.program.await_end(2)
                assert agent.stop() == 0, agent.log()
        assert states_of(site)["once"] is JobState.LOST
        assert site.written() == ["ran", "next"]
        (job,) = [row for row in site.program.rows() if row.name == "once"]
        assert "was purged" in (job.reason or "")


@pytest.mark.flux
def test_a_rank_is_lost_while_it_runs_a_task(tmp_path: Path, timer: Timer) -> None:
    """Flux ends what ran there: failed, with Flux's reason; what depends on it is canceled."""
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    gate, where = tmp_path / "gate", tmp_path / "rank"
    tell = f"flux getattr rank > {where}.new; mv {where}.new {where}; "
    with (
        private_flux(size=4, options=["--test-exit-mode=leader"]) as flux,
        running_site(tmp_path, flux=flux) as site,
        site.program.background("start") as agent,
    ):
        is_up(agent, site)
        runs_a_job(site, 1)
        # All four nodes: one of the task's is not the leader's.
        work = task(
            ["sh", "-c", f"[ $FLUX_TASK_RANK != 3 ] || ( {tell} ); {waits(gate)[2]}"], "ran"
        )
        after = task(site.writes("after"), "after", depends_on=["ran"])
        site.fleet.send(jobspec(work, after, name="lost", nodes=4))
        eventually(where.exists, "it runs", seconds=60)
        os.kill(flux.broker(int(where.read_text())), signal.SIGKILL)
        what = "a rank lost while it runs a task"
        with timer(what, "flux", "it failed with Flux's reason; the next job has run"):
            eventually(
                lambda: states_of(site).get("lost") is JobState.FAILED, "it shows", seconds=60
            )
            gate.touch()
            runs_a_job(site, 3)
        (job,) = [row for row in site.program.rows() if row.name == "lost"]
        assert "node failure" in (job.reason or ""), job
        assert {row.key.task: row.state for row in job.tasks} == {
            "ran": TaskState.FAILED,
            "after": TaskState.CANCELED,
        }
        assert site.written() == ["job 1", "job 3"]
        eventually(
            lambda: (site.program.show("status")["nodes"] or {}).get("up") == 3,
            "status says so",
            seconds=60,
        )
        assert agent.stop() == 0, agent.log()


def in_order(*times: float | None) -> bool:
    """Whether times that are known are in order."""
    known = [at for at in times if at is not None]
    return known == sorted(known)


@pytest.mark.full
@pytest.mark.parametrize("flux", [False, pytest.param(True, marks=pytest.mark.flux)])
def test_the_clock_is_set(tmp_path: Path, timer: Timer, *, flux: bool) -> None:
    """An hour forward, then two back, while a job runs: nothing times out, all stays in order.

    Over Flux only the agent's clock is set.
    """
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=flux):
        pytest.skip(missing)
    step, gate = tmp_path / "step", tmp_path / "gate"
    step.write_text("0")
    environ = {fault_injection.CLOCK: str(step), fault_injection.ALLOWED: "1"}
    parts = "flux" if flux else "local"
    with (
        running_site(tmp_path, flux=flux, environ=environ, poll_max=3, http="127.0.0.1:0") as site,
        site.program.background("start") as agent,
    ):
        is_up(agent, site)
        site.fleet.send(jobspec(task(waits(gate), duration="10m"), name="long"))
        eventually(lambda: states_of(site) == {"long": JobState.RUNNING}, "it runs")
        eventually(lambda: not site.unreported(), "rainbow has the reports")
        visitor = Visitor(site.program)
        eventually(lambda: visitor.wrong("/readyz") == [], "it is ready")
        for n, (seconds, how) in enumerate([(3600, "forward"), (-3600, "back")], 1):
            step.write_text(str(seconds))
            with timer(
                f"the clock is set an hour {how}", parts, "a job is received, run and reported"
            ):
                status = site.program.show("status")
                assert status["reasons"] == []
                assert 0.0 <= status["daemon"]["heartbeat_age"] < 1800.0, "of an hour nothing shows"
                assert visitor.wrong("/readyz") == []
                site.fleet.send(jobspec(task(site.writes(how)), name=how))
                eventually(
                    lambda: states_of(site).get(how) is JobState.COMPLETED,  # noqa: B023
                    "it ran",
                    seconds=60,
                )
                eventually(lambda: not site.unreported(), "rainbow has the reports")
            assert site.written() == ["forward", "back"][:n]
            assert states_of(site)["long"] is JobState.RUNNING
        eventually(
            lambda: site.program.show("status")["daemon"]["heartbeat_age"] < 10.0, "it beats"
        )
        assert site.program.show("status")["reasons"] == []
        gate.touch()
        eventually(lambda: states_of(site)["long"] is JobState.COMPLETED, "it ends well")
        assert agent.stop() == 0, agent.log()
        for row in site.program.rows():
            _expect_times_in_order(row)


def _expect_times_in_order(row: JobRow) -> None:
    assert in_order(row.received, row.accepted), row
    assert in_order(row.received, row.finished), row
    for replica in row.tasks:
        assert in_order(replica.submitted, replica.started, replica.finished), replica


@pytest.mark.full
def test_a_black_hole(tmp_path: Path) -> None:
    """Jobs that fail at once, one after the other, stop the polling; `status` says why."""
    with running_site(tmp_path, black_hole=3) as site, site.program.background("start") as agent:
        is_up(agent, site)
        for _ in range(3):
            site.fleet.send(jobspec(task(["false"])))
        site.program.await_end(3)
        agent.says("Black hole")
        site.fleet.send(jobspec(task(site.writes("later"))))
        eventually(
            lambda: "black-hole" in [r["name"] for r in site.program.show("status")["reasons"]],
            "status says why",
        )
        assert site.written() == []
        eventually(lambda: site.written() == ["later"], "it starts again by itself", seconds=60)
        agent.says("Jobs work again")
