"""Outages that heal without a human; each is timed (docs/reliability.md is made from that)."""

from __future__ import annotations

import os
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from rainbow_agent.states import JobState, TaskState
from rainbow_agent.testing import eventually
from rainbow_agent.testing_fleet import jobspec, task
from rainbow_agent.testing_flux import NO_FLUX, flux_command, private_flux
from rainbow_agent.testing_outages import Timer, timed
from rainbow_agent.testing_program import Running
from rainbow_agent.testing_proxy import Proxy
from rainbow_agent.testing_servers import SchedulerKind
from rainbow_agent.testing_site import Site, missing_parts, running_site

BOTH = [
    pytest.param(SchedulerKind.EMBEDDED, id="embedded"),
    pytest.param(SchedulerKind.REAL, id="rainbow", marks=pytest.mark.rainbow),
]


@pytest.fixture(params=BOTH)
def kind(request: pytest.FixtureRequest) -> SchedulerKind:
    """Each scheduler that is there."""
    found = request.param
    assert isinstance(found, SchedulerKind)
    if missing := missing_parts(found, flux=False):
        pytest.skip(missing)
    return found


@pytest.fixture
def timer() -> Iterator[Timer]:
    """Times what a test says, and writes it down where that is asked for."""
    with timed() as timer:
        yield timer


def is_up(agent: Running, site: Site) -> None:
    """Wait until the agent is registered and follows the journal."""
    agent.says("Caught up")
    eventually(site.program.config.exists, "it is registered")
    eventually(lambda: site.fleet.credentials.cluster_secret, "it has its secret")


def runs_a_job(site: Site, number: int) -> None:
    """Send a job, and wait until it is the number-th that is over, and rainbow was told."""
    site.fleet.send(jobspec(task(site.writes(f"job {number}"))))
    site.program.await_end(number)
    eventually(lambda: not site.untold(), "rainbow was told")


def test_rainbow_restarted_with_its_database(
    kind: SchedulerKind, tmp_path: Path, timer: Timer
) -> None:
    """Its graph is gone: it is loaded again under the same secret."""
    with running_site(tmp_path, kind) as site, site.program.background("start") as agent:
        is_up(agent, site)
        runs_a_job(site, 1)
        secret = site.fleet.credentials.cluster_secret
        site.scheduler.restart(keep_db=True)
        with timer("rainbow restarted with its database", kind.value, "the graph is back"):
            eventually(site.fleet.fits, "the graph is back", seconds=60)
        runs_a_job(site, 2)
        assert site.fleet.credentials.cluster_secret == secret


def test_rainbow_restarted_without_its_database(
    kind: SchedulerKind, tmp_path: Path, timer: Timer
) -> None:
    """A new registration; its job 1 is another job."""
    with running_site(tmp_path, kind) as site, site.program.background("start") as agent:
        is_up(agent, site)
        runs_a_job(site, 1)
        old = site.fleet.credentials.cluster_secret
        site.scheduler.restart(keep_db=False)
        with timer("rainbow restarted without its database", kind.value, "registered again"):
            eventually(
                lambda: site.fleet.credentials.cluster_secret != old, "registered", seconds=60
            )
            eventually(site.fleet.fits, "the graph is there", seconds=60)
        runs_a_job(site, 2)
        assert [row.key.id for row in site.program.rows()] == [1, 1]


def test_rainbow_away(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """Gone for some seconds while a job runs: the job's end is reported after it."""
    gate = tmp_path / "gate"
    waits = ["sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done"]
    with running_site(tmp_path, kind) as site, site.program.background("start") as agent:
        is_up(agent, site)
        site.fleet.send(jobspec(task(waits)))
        eventually(lambda: [r.state for r in site.program.rows()] == [JobState.RUNNING], "it runs")
        eventually(lambda: site.fleet.state_holds("jobs_running == 1"), "rainbow knows it")
        site.scheduler.stop()
        gate.touch()
        site.program.await_end(1)
        site.scheduler.start()
        with timer("rainbow away, a job ends meanwhile", kind.value, "its end is reported"):
            eventually(site.fleet.fits, "the graph is back", seconds=60)
            eventually(
                lambda: site.fleet.state_holds("jobs_completed == 1 && jobs_running == 0"),
                "the report arrived",
                seconds=90,
            )


def test_half_open_connections(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """Connections that nobody answers on any more are given up, and new ones are opened."""
    with (
        running_site(tmp_path, kind) as site,
        Proxy(site.scheduler.host) as proxy,
        site.program.background("start", host=proxy.host, timeout=2) as agent,
    ):
        is_up(agent, site)
        runs_a_job(site, 1)
        proxy.swallow()
        site.fleet.send(jobspec(task(site.writes("job 2"))))
        eventually(
            lambda: site.program.show("status")["rainbow"]["reachable"] is False, "it noticed"
        )
        proxy.serve(drop_open=False)
        with timer("half-open connections", kind.value, "the job that waited has run"):
            site.program.await_end(2)
        assert site.written() == ["job 1", "job 2"]


def test_a_slow_rainbow(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """Each answer takes most of the time that it may take: slower, and nothing else."""
    with (
        running_site(tmp_path, kind) as site,
        Proxy(site.scheduler.host) as proxy,
        site.program.background("start", host=proxy.host, timeout=3) as agent,
    ):
        is_up(agent, site)
        runs_a_job(site, 1)
        proxy.delay = 0.7
        with timer("a slow rainbow (0.7 s each way)", kind.value, "a job is taken, run and told"):
            runs_a_job(site, 2)
        assert site.written() == ["job 1", "job 2"]


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
                with timer(f"Flux replaced, RAINBOW_ON_LOST={on_lost}", "flux", "all sorted out"):
                    site.program.await_end(1)
                eventually(lambda: not site.untold(), "told")
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


def damage(path: Path, how: str) -> None:
    """Make a ledger that was closed in order one that is none."""
    for end in ("-wal", "-shm"):
        Path(f"{path}{end}").unlink(missing_ok=True)
    data = bytearray(path.read_bytes())
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "header":
        path.write_bytes(b"garbage" + bytes(data[7:]))
    else:  # the pages after the first two
        for place in range(8192, len(data), 97):
            data[place] ^= 0xFF
        path.write_bytes(bytes(data))


@pytest.mark.parametrize("flux", [False, pytest.param(True, marks=pytest.mark.flux)])
@pytest.mark.parametrize("how", ["truncated", "header", "flipped", "gone"])
def test_a_damaged_ledger(how: str, tmp_path: Path, timer: Timer, *, flux: bool) -> None:
    """It is kept aside under a name with the time, and rebuilt; nothing runs a second time."""
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=flux):
        pytest.skip(missing)
    with running_site(tmp_path, flux=flux) as site:
        ledger = site.program.state_dir / "ledger.sqlite"
        with site.program.background("start") as agent:
            is_up(agent, site)
            chain = [
                task(site.writes("one"), "one"),
                task(site.writes("two"), "two", depends_on=["one"], replicas=2),
            ]
            site.fleet.send(jobspec(*chain, name="told"))
            site.program.await_end(1)
            eventually(lambda: not site.untold(), "rainbow was told")
            assert agent.stop() == 0
        before = site.program.rows()
        # One that rainbow was not told of: in Flux, and still on rainbow's list.
        site.fleet.send(jobspec(task(site.writes("three"), "three"), name="untold"))
        armed = {"test_crash": "recorded", "test_crash_allowed": "1"}
        with site.program.background("start", **armed) as agent:
            assert agent.wait() == -signal.SIGKILL
        with closing(sqlite3.connect(ledger)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if how == "gone":
            for end in ("", "-wal", "-shm"):
                Path(f"{ledger}{end}").unlink(missing_ok=True)
        else:
            damage(ledger, how)
        with site.program.background("start") as agent:
            with timer(f"ledger {how}", "flux" if flux else "local", "rebuilt, the rest run"):
                agent.says("Caught up")
                eventually(lambda: len(site.program.rows()) == 2, "both jobs are back")
                site.program.await_end(2)
                eventually(lambda: not site.fleet.waiting(), "rainbow was told")
            aside = list(site.program.state_dir.glob("ledger.sqlite.damaged-*Z"))
            assert len(aside) == (0 if how == "gone" else 1)
            if aside:
                assert str(aside[0]) in agent.log()
            assert agent.stop() == 0, agent.log()
        rows = {row.name: row for row in site.program.rows()}
        assert set(rows) == {"told", "untold"}
        assert {row.state for row in rows.values()} == {JobState.COMPLETED}
        again = {t.key: (t.state, t.depends_on, t.flux_id) for t in rows["told"].tasks}
        assert again == {t.key: (t.state, t.depends_on, t.flux_id) for t in before[0].tasks}
        assert sorted(site.written()) == ["one", "three", "two", "two"]


def test_the_cluster_row_is_removed_by_the_operator(tmp_path: Path) -> None:
    """Rows that come again under the new registration are the same jobs, and run once."""
    with running_site(tmp_path) as site:
        assert site.program.run("register").code == 0
        site.fleet.send(jobspec(task(site.writes("once"))))
        armed = {"test_crash": "recorded", "test_crash_allowed": "1"}
        with site.program.background("start", **armed) as agent:
            assert agent.wait() == -signal.SIGKILL
        site.scheduler.stop()
        with closing(sqlite3.connect(site.scheduler.db)) as db, db:
            db.execute("DELETE FROM clusters")
        site.scheduler.start()
        with site.program.background("start") as agent:
            site.program.await_end(1)
            eventually(lambda: not site.untold(), "rainbow was told")
            eventually(lambda: not site.fleet.waiting(), "and let go of it")
            assert agent.stop() == 0, agent.log()
        (job,) = site.program.rows()
        assert job.state is JobState.COMPLETED
        assert site.written() == ["once"]


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
