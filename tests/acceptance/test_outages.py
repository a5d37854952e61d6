"""Outages that heal without a human; each is timed (docs/reliability.md is made from that)."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from rainbow_agent import crashpoints, timewarp
from rainbow_agent.adapters import rainbow_rpc
from rainbow_agent.states import JobState, TaskState
from rainbow_agent.testing import eventually
from rainbow_agent.testing_fleet import jobspec, task
from rainbow_agent.testing_flux import NO_FLUX, PrivateFlux, flux_command, private_flux
from rainbow_agent.testing_grpc import CallProxy
from rainbow_agent.testing_http import Visitor
from rainbow_agent.testing_outages import Timer, expect_in_order, hasty, timed
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


def waits(gate: Path, then: str = "true") -> list[str]:
    """A command that goes on when a file is there."""
    return ["sh", "-c", f"while [ ! -e {gate} ]; do sleep 0.05; done; {then}"]


def states_of(site: Site) -> dict[str, JobState]:
    """Each job's state, by its name."""
    return {row.name: row.state for row in site.program.rows()}


def test_rainbow_away_for_an_hour(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """With usual settings, and the agent's clock 300 times as fast: all is told after it.

    It is seen in `status`, asked for at a calm pace, and does not fill the log.
    """
    rate, hour = 300.0, 3600.0
    usual: dict[str, Any] = {"poll_min": 0.25, "poll_max": 5, "report_every": 30}
    gates = {f"job-{n}": tmp_path / f"gate-{n}" for n in range(4)}
    with (
        running_site(tmp_path, kind, environ=hasty(rate), **usual) as site,
        site.program.background("start") as agent,
    ):
        is_up(agent, site)
        site.fleet.send(*(jobspec(task(waits(gate)), name=name) for name, gate in gates.items()))
        eventually(lambda: [*states_of(site).values()] == [JobState.RUNNING] * 4, "all run")
        eventually(lambda: site.fleet.state_holds("jobs_running == 4"), "rainbow knows it")
        lines = agent.log().count("\n")
        site.scheduler.stop()
        away = time.monotonic()
        for n, (name, gate) in enumerate(gates.items(), 1):
            eventually(lambda: time.monotonic() - away > n * hour / rate / 5, "time passes")  # noqa: B023
            gate.touch()
            eventually(lambda: states_of(site)[name] is JobState.COMPLETED, f"{name} is over")  # noqa: B023
        eventually(lambda: time.monotonic() - away > hour / rate, "the hour is over", seconds=60)
        status = site.program.show("status")
        assert "rainbow-unreachable" in [each["name"] for each in status["reasons"]]
        assert agent.log().count("\n") - lines < 40, agent.log()
        site.scheduler.start()
        with timer("rainbow away for an hour", kind.value, "the jobs' ends are reported", rate):
            eventually(site.fleet.fits, "the graph is back", seconds=60)
            eventually(
                lambda: site.fleet.state_holds("jobs_completed == 4 && jobs_running == 0"),
                "the report arrived",
                seconds=60,
            )
        runs_a_job(site, 5)
        ended = [row.finished for row in site.program.rows()]
        assert ended == sorted(ended, key=lambda at: at or 0.0)
        assert agent.stop() == 0, agent.log()


def test_reports_of_an_outage(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """What many jobs become while rainbow is away arrives after it, in order, of every one."""
    gate, slow = tmp_path / "gate", tmp_path / "slow"
    many = [f"job-{n}" for n in range(120)]
    with (
        running_site(tmp_path, kind) as site,
        CallProxy(site.scheduler.host) as proxy,
        site.program.background("start", host=proxy.host) as agent,
    ):
        is_up(agent, site)
        jobs = [jobspec(task(waits(gate, "exit 3" if n % 10 == 7 else "true")), name=name)
                for n, name in enumerate(many)]  # fmt: skip
        site.fleet.send(*jobs)
        eventually(lambda: len(states_of(site)) == len(many), "all came")
        eventually(lambda: not site.untold(), "rainbow was told of all", seconds=60)
        eventually(lambda: site.fleet.state_holds("jobs_running == 4"), "rainbow knows it")
        site.fleet.send(jobspec(task(waits(slow)), name="slow"))
        eventually(lambda: len(states_of(site)) == len(many) + 1, "one more came")
        site.scheduler.stop()
        before = len(proxy.reports())
        gate.touch()
        eventually(lambda: states_of(site).get("slow") is JobState.RUNNING, "it runs", seconds=60)
        site.scheduler.start()
        with timer("rainbow away, 120 jobs end meanwhile", kind.value, "each end is reported"):
            eventually(site.fleet.fits, "the graph is back", seconds=60)
            eventually(
                lambda: site.fleet.state_holds("jobs_completed == 108 && jobs_failed == 12"),
                "the counts arrived",
                seconds=60,
            )
            told: dict[str, str] = {}

            def all_told() -> bool:
                for report in proxy.reports()[before:]:
                    told.update(report["jobs"])
                return list(told.values()).count("completed") == 108

            eventually(all_told, "and each job's state", seconds=60)
        assert list(told.values()).count("failed") == 12
        slow.touch()
        site.program.await_end(len(many) + 1)
        eventually(lambda: proxy.report().get("jobs_completed") == 109, "the last one, too")
        assert agent.stop() == 0, agent.log()
        expect_in_order(proxy.reports())


def in_order(*times: float | None) -> bool:
    """Whether times that are known are in order."""
    known = [at for at in times if at is not None]
    return known == sorted(known)


@pytest.mark.parametrize("flux", [False, pytest.param(True, marks=pytest.mark.flux)])
def test_the_clock_is_set(tmp_path: Path, timer: Timer, *, flux: bool) -> None:
    """An hour forward, then two back, while a job runs: nothing times out, all stays in order.

    Over Flux only the agent's clock is set.
    """
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=flux):
        pytest.skip(missing)
    step, gate = tmp_path / "step", tmp_path / "gate"
    step.write_text("0")
    environ = {timewarp.CLOCK: str(step), crashpoints.ALLOWED: "1"}
    parts = "flux" if flux else "local"
    with (
        running_site(tmp_path, flux=flux, environ=environ, poll_max=3, http="127.0.0.1:0") as site,
        site.program.background("start") as agent,
    ):
        is_up(agent, site)
        site.fleet.send(jobspec(task(waits(gate), duration="10m"), name="long"))
        eventually(lambda: states_of(site) == {"long": JobState.RUNNING}, "it runs")
        eventually(lambda: not site.untold(), "rainbow was told")
        visitor = Visitor(site.program)
        eventually(lambda: visitor.wrong("/readyz") == [], "it is ready")
        for n, (seconds, how) in enumerate([(3600, "forward"), (-3600, "back")], 1):
            step.write_text(str(seconds))
            with timer(f"the clock is set an hour {how}", parts, "a job is taken, run and told"):
                status = site.program.show("status")
                assert status["reasons"] == []
                assert 0.0 <= status["daemon"]["heartbeat_age"] < 10.0
                assert visitor.wrong("/readyz") == []
                site.fleet.send(jobspec(task(site.writes(how)), name=how))
                eventually(
                    lambda: states_of(site).get(how) is JobState.COMPLETED,  # noqa: B023
                    "it ran",
                    seconds=60,
                )
                eventually(lambda: not site.untold(), "rainbow was told")
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
            assert in_order(row.received, row.accepted), row
            assert in_order(row.received, row.finished), row
            for replica in row.tasks:
                assert in_order(replica.submitted, replica.started, replica.finished), replica


def change_database(site: Site, statement: str, *values: str) -> None:
    """What rainbow's operator can do while it is down."""
    site.scheduler.stop()
    with closing(sqlite3.connect(site.scheduler.db)) as db, db:
        db.execute(statement, values)
    site.scheduler.start()


def test_exists_with_our_secret_on_disk(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """Killed when the secret was just stored: the next start goes on with it, and asks for none."""
    armed = {"test_crash": "stored", "test_crash_allowed": "1"}
    with running_site(tmp_path, kind) as site, CallProxy(site.scheduler.host) as proxy:
        site.program.environ["RAINBOW_HOST"] = proxy.host
        with site.program.background("start", **armed) as agent:
            assert agent.wait() == -signal.SIGKILL
        secret = site.fleet.credentials.cluster_secret
        with site.program.background("start") as agent:
            with timer("EXISTS, our secret on disk", kind.value, "a job is taken, run and told"):
                is_up(agent, site)
                runs_a_job(site, 1)
            assert agent.stop() == 0, agent.log()
        assert site.fleet.credentials.cluster_secret == secret
        assert len(proxy.seen(rainbow_rpc.REGISTER)) == 1


def test_exists_with_the_secret_lost(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """Exit 42, which says what to do; once the operator has done that, all goes on."""
    with running_site(tmp_path, kind) as site:
        assert site.program.run("register").code == 0
        site.program.config.unlink()
        with site.program.background("start") as agent:
            assert agent.wait() == 42
            for words in ("gives its secret", "RAINBOW_CLUSTER", "restore it", "`clusters`"):
                assert words in agent.log()
        change_database(site, "DELETE FROM clusters WHERE name = ?", "blue")
        what = "EXISTS, the secret lost: exit 42; the row removed, as it says"
        with site.program.background("start") as agent:
            with timer(what, kind.value, "a job is taken, run and told"):
                is_up(agent, site)
                runs_a_job(site, 1)
            assert agent.stop() == 0, agent.log()


def test_denied_because_the_secret_was_changed(
    kind: SchedulerKind, tmp_path: Path, timer: Timer
) -> None:
    """It is asked for thrice, then exit 42; a secret that is put into the file is used at once."""
    with running_site(tmp_path, kind) as site:
        with site.program.background("start") as agent:
            is_up(agent, site)
            runs_a_job(site, 1)
            old = site.fleet.credentials.cluster_secret
            change_database(site, "UPDATE clusters SET secret = ?", "the-second-secret")
            assert agent.wait() == 42
            assert "denies the secret" in agent.log()
            assert "the secret was changed in rainbow" in agent.log()
            assert "the-second-secret" not in agent.log()
        text = site.program.config.read_text()
        site.program.config.write_text(text.replace(old, "the-second-secret"))
        with site.program.background("start") as agent:
            is_up(agent, site)
            eventually(site.fleet.fits, "the graph is back", seconds=60)
            runs_a_job(site, 2)
            # The operator is quicker than the agent's last try.
            site.program.config.write_text(text.replace(old, "the-third-secret"))
            change_database(site, "UPDATE clusters SET secret = ?", "the-third-secret")
            what = "request denied: the secret was changed, there and in the file"
            with timer(what, kind.value, "a job is taken, run and told"):
                eventually(site.fleet.fits, "the graph is back", seconds=60)
                runs_a_job(site, 3)
            assert "was replaced; going on with the new one" in agent.log()
            assert agent.stop() == 0, agent.log()
        assert site.written() == ["job 1", "job 2", "job 3"]


def test_denied_because_the_cluster_is_lost(
    kind: SchedulerKind, tmp_path: Path, timer: Timer
) -> None:
    """Rainbow has no such cluster any more: it is registered again, and gets another secret."""
    with running_site(tmp_path, kind) as site, site.program.background("start") as agent:
        is_up(agent, site)
        runs_a_job(site, 1)
        old = site.fleet.credentials.cluster_secret
        change_database(site, "DELETE FROM clusters WHERE name = ?", "blue")
        with timer(
            "request denied: the cluster is lost", kind.value, "a job is taken, run and told"
        ):
            eventually(
                lambda: site.fleet.credentials.cluster_secret != old, "registered", seconds=60
            )
            runs_a_job(site, 2)
        assert site.written() == ["job 1", "job 2"]
        assert agent.stop() == 0, agent.log()


def test_the_local_workload_manager_stands_still(tmp_path: Path, timer: Timer) -> None:
    """Its process is stopped for a while: a job that came meanwhile runs once when it goes on."""
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
    """Its socket is gone: `status` says so, nothing is taken, and all goes on when it is back."""
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
@pytest.mark.parametrize("kept", [True, False], ids=["with its state", "killed, without it"])
def test_flux_is_restarted_under_a_living_agent(
    tmp_path: Path, timer: Timer, *, kept: bool
) -> None:
    """Another instance answers at the socket: nothing runs twice, and what ended there is told."""
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
        with timer(what, "flux", "a job is taken, run and told"):
            eventually(lambda: "job 2" in site.written(), "it runs", seconds=90)
        site.program.await_end(3)
        eventually(lambda: not site.untold(), "rainbow was told")
        # A Flux that is shut down cancels what runs; one that is killed says nothing.
        assert states_of(site)["both"] is (JobState.CANCELED if kept else JobState.LOST)
        assert site.written() == ["job 1", "job 2"]
        assert agent.stop() == 0, agent.log()


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
            eventually(lambda: states_of(site).get("lost") is JobState.FAILED, "told", seconds=60)
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
