"""SIGTERM in every state: it ends in order and within RAINBOW_GRACE, and nothing is lost.

An end within the grace time has exit code 0: what takes longer is ended by the agent itself, with
1 (runtime/stop.py), so no test here has to measure time.
"""

from __future__ import annotations

import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import psutil
import pytest

from rainbow_agent.core.states import JobState, TaskState
from rainbow_agent.workload.local.server import folder as folders
from support.common import eventually
from support.fleet import jobspec, task
from support.program import Running
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

LOCAL_AND_FLUX = [
    pytest.param((SchedulerKind.EMBEDDED, False), id="embedded-local"),
    pytest.param(
        (SchedulerKind.REAL, True),
        id="rainbow-flux",
        marks=[pytest.mark.rainbow, pytest.mark.flux],
    ),
]


def site_over(request: pytest.FixtureRequest, folder: Path, **settings: Any) -> Any:
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    return running_site(folder, kind, flux=flux, **settings)


@pytest.fixture(params=LOCAL_AND_FLUX)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A registered cluster whose agent does not run; its calls may take a minute."""
    with site_over(request, tmp_path, timeout=60, grace=12) as site:
        assert site.program.run("register").code == 0
        yield site


@contextmanager
def silence() -> Iterator[str]:
    """The address of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def suspended(*pids: int) -> Iterator[None]:
    """Processes that stand still for the length of a with block."""
    processes = [psutil.Process(pid) for pid in pids]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def sleeper(name: str, *, replicas: int = 1) -> dict[str, Any]:
    return jobspec(task(["sleep", "600"], replicas=replicas), name=name)


def states(site: Site, name: str) -> Counter[TaskState]:
    return Counter(t.state for row in site.program.rows() if row.name == name for t in row.tasks)


def ends_in_time(agent: Running) -> None:
    assert agent.stop() == 0, agent.log()
    assert "longer than RAINBOW_GRACE" not in agent.log()
    assert "Traceback" not in agent.log()


@pytest.mark.full
def test_while_it_registers_with_a_server_that_says_nothing(tmp_path: Path) -> None:
    """A call that would wait for a minute is given up, since nothing came of it."""
    with silence() as host, running_site(tmp_path, host=host, timeout=60, grace=10) as site:
        with site.program.background("start") as agent:
            agent.says("rainbow gets its graph")
            ends_in_time(agent)
        assert not site.program.config.exists()


def test_while_rainbow_cannot_be_reached(tmp_path: Path) -> None:
    """An agent that never found its rainbow ends like any other."""
    with (
        running_site(tmp_path, host="127.0.0.1:1", timeout=60, grace=10) as site,
        site.program.background("start", poll_max=60) as agent,
    ):
        agent.says('"action": "paused"')
        ends_in_time(agent)


@pytest.mark.full
def test_while_rainbow_stands_still(site: Site) -> None:
    """Polling, reporting and accepting all wait for an answer: none is waited for to the end."""
    with site.program.background("start") as agent:
        site.fleet.send(jobspec(task(site.writes("first")), name="first"))
        site.program.await_end(1)
        with suspended(site.scheduler.pid):
            Event().wait(0.5)  # it polls every 0.2 s at most: by then it waits for an answer
            ends_in_time(agent)
    site.program.until_idle()
    assert site.written() == ["first"]


@pytest.mark.flux
def test_while_flux_stands_still(tmp_path: Path) -> None:
    """A broker that hangs makes the agent neither deaf nor slow to end; its jobs are not lost."""
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=True):
        pytest.skip(missing)
    with running_site(tmp_path, flux=True, grace=12) as site:
        assert site.program.run("register").code == 0
        brokers = [p for p in psutil.process_iter(["name", "environ"]) if _is_broker(p, site)]
        assert brokers
        with site.program.background("start") as agent:
            site.fleet.send(jobspec(task(site.writes("before")), name="before"))
            site.program.await_end(1)
            with suspended(*(process.pid for process in brokers)):
                site.fleet.send(jobspec(task(site.writes("within")), name="within"))
                eventually(lambda: len(site.program.rows()) == 2, "the job is received")
                ends_in_time(agent)
            assert states(site, "within") == {TaskState.SUBMITTING: 1}
        with site.program.background("start") as agent:
            site.program.await_end(2)
            ends_in_time(agent)
        assert site.written() == ["before", "within"]


def _is_broker(process: psutil.Process, site: Site) -> bool:
    """Whether this is the broker behind the site's FLUX_URI (its socket lies in its rundir)."""
    if "flux-broker" not in (process.info["name"] or ""):
        return False
    socket_path = site.program.environ["FLUX_URI"].removeprefix("local://")
    return any(str(c.laddr) == socket_path for c in process.net_connections(kind="unix"))


@pytest.mark.flux
def test_a_second_signal_while_flux_stands_still(tmp_path: Path) -> None:
    """It leaves at once, whatever C code the main thread waits in."""
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=True):
        pytest.skip(missing)
    with running_site(tmp_path, flux=True, grace=300) as site:
        brokers = [p.pid for p in psutil.process_iter(["name", "environ"]) if _is_broker(p, site)]
        with site.program.background("start") as agent, suspended(*brokers):

            def signaled_again() -> bool:
                agent.signal(signal.SIGTERM)
                return not agent.alive()

            agent.says("Starting rainbow-agent")
            eventually(signaled_again, "the agent left", seconds=60)
        assert agent.wait() in (0, 128 + signal.SIGTERM)


@pytest.mark.full
def test_in_the_middle_of_thousands(site: Site) -> None:
    """What is begun is submitted as far as the time allows, and each task runs once in the end."""
    count = 1000
    command = ["sh", "-c", 'echo x >> "$1"', "sh", str(site.marks)]
    with site.program.background("start") as agent:
        agent.says("Caught up")
        site.fleet.send(jobspec(task(command, replicas=count), name="many"))
        eventually(lambda: states(site, "many")[TaskState.SUBMITTED] > 0, "some are submitted")
        ends_in_time(agent)
    site.program.until_idle()
    assert states(site, "many") == {TaskState.COMPLETED: count}
    assert len(site.written()) == count


@pytest.fixture(params=LOCAL_AND_FLUX)
def canceling_site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A registered cluster whose agent cancels its jobs when it is stopped."""
    with site_over(request, tmp_path, on_stop="cancel", grace=25) as site:
        assert site.program.run("register").code == 0
        yield site


def test_jobs_are_canceled_where_that_is_wanted(canceling_site: Site) -> None:
    """With RAINBOW_ON_STOP=cancel they end before the agent does, and are reported."""
    site = canceling_site
    with site.program.background("start") as agent:
        site.fleet.send(
            jobspec(task(["true"]), name="over"),
            sleeper("runs"),
            jobspec(
                task(["sleep", "600"], "first"),
                task(site.writes("never"), "second", depends_on=["first"]),
                name="chain",
            ),
        )
        eventually(
            lambda: (
                {r.name: r.state for r in site.program.rows()}
                == {
                    "runs": JobState.RUNNING,
                    "chain": JobState.RUNNING,
                    "over": JobState.COMPLETED,
                }
            ),
            "two jobs run and one is over",
        )
        ends_in_time(agent)
    assert {r.name: r.state for r in site.program.rows()} == {
        "runs": JobState.CANCELED,
        "chain": JobState.CANCELED,
        "over": JobState.COMPLETED,
    }
    canceled = [row for row in site.program.rows() if row.state is JobState.CANCELED]
    assert all("RAINBOW_ON_STOP=cancel" in (row.reason or "") for row in canceled), canceled
    assert site.fleet.state_holds("jobs_canceled == 2 && jobs_running == 0")
    assert site.fleet.waiting() == []
    assert site.written() == []


@pytest.mark.full
def test_a_workload_manager_that_ends_with_it_is_not_started_again(tmp_path: Path) -> None:
    """As systemd stops a unit: all of its processes at once. The next start runs what waited."""
    with running_site(tmp_path, local_cores=1) as site:
        assert site.program.run("register").code == 0
        with site.program.background("start") as agent:
            site.fleet.send(sleeper("runs"))
            site.fleet.send(jobspec(task(site.writes("x")), name="waits"))
            eventually(lambda: states(site, "runs")[TaskState.RUNNING], "the first one runs")
            eventually(lambda: states(site, "waits")[TaskState.SUBMITTED], "the other waits")
            lock = site.program.state_dir / "workload" / folders.LOCK
            server = psutil.Process(int(lock.read_text()))
            agent.signal()
            server.kill()
            assert agent.wait() == 0, agent.log()
            server.wait()
        assert not psutil.pid_exists(int(lock.read_text()))
        assert site.written() == []
        with site.program.background("start"):
            eventually(site.written, "the one that waited runs", seconds=60)
