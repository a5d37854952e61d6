"""Rainbow away, slow, restarted: healed without a human, and timed (docs/reliability.md)."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.states import JobState
from support.common import eventually
from support.fleet import jobspec, task
from support.grpc import CallProxy
from support.outages import Timer, expect_in_order, hasty, is_up, runs_a_job, states_of, waits
from support.proxy import Proxy
from support.servers import SchedulerKind
from support.site import running_site


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


@pytest.mark.full
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
        with timer("rainbow unreachable, a job ends meanwhile", kind.value, "its end is reported"):
            eventually(site.fleet.fits, "the graph is back", seconds=60)
            eventually(
                lambda: site.fleet.state_holds("jobs_completed == 1 && jobs_running == 0"),
                "the report arrived",
                seconds=90,
            )


@pytest.mark.full
def test_rainbow_away_for_an_hour(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """With usual settings, and the agent's clock 400 times as fast: all is reported after it.

    It is seen in `status`, asked for at a calm pace, and does not fill the log.
    """
    rate, hour = 400.0, 3600.0
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
        with timer(
            "rainbow unreachable for an hour", kind.value, "the jobs' ends are reported", rate
        ):
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


@pytest.mark.full
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
        eventually(lambda: not site.unreported(), "rainbow has all reports", seconds=60)
        eventually(lambda: site.fleet.state_holds("jobs_running == 4"), "rainbow knows it")
        site.fleet.send(jobspec(task(waits(slow)), name="slow"))
        eventually(lambda: len(states_of(site)) == len(many) + 1, "one more came")
        site.scheduler.stop()
        before = len(proxy.reports())
        gate.touch()
        eventually(lambda: states_of(site).get("slow") is JobState.RUNNING, "it runs", seconds=60)
        site.scheduler.start()
        with timer(
            "rainbow unreachable, 120 jobs end meanwhile", kind.value, "each end is reported"
        ):
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


@pytest.mark.full
def test_half_open_connections(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """Connections without answers are given up, and new ones are opened."""
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


@pytest.mark.full
def test_a_slow_rainbow(kind: SchedulerKind, tmp_path: Path, timer: Timer) -> None:
    """Each answer takes most of the time that it may take: slower, and nothing else."""
    with (
        running_site(tmp_path, kind) as site,
        Proxy(site.scheduler.host) as proxy,
        site.program.background("start", host=proxy.host, timeout=5) as agent,
    ):
        is_up(agent, site)
        runs_a_job(site, 1)
        proxy.delay = 0.7
        with timer(
            "a slow rainbow (0.7 s each way)", kind.value, "a job is received, run and reported"
        ):
            runs_a_job(site, 2)
        assert site.written() == ["job 1", "job 2"]
