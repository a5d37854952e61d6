"""`drain` and `resume`: no new jobs, what is here runs on; and what systemd is sent."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from rainbow_agent.core.states import JobState
from rainbow_agent.storage import agent_lock, drain_file, runtime_file
from support.common import eventually
from support.fleet import jobspec, task
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site


@pytest.fixture(
    params=[
        pytest.param((SchedulerKind.EMBEDDED, False), id="embedded-local"),
        pytest.param(
            (SchedulerKind.REAL, True),
            id="rainbow-flux",
            marks=[pytest.mark.rainbow, pytest.mark.flux],
        ),
    ],
)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A registered cluster whose agent does not run."""
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    with running_site(tmp_path, kind, flux=flux) as site:
        assert site.program.run("register").code == 0
        yield site


def gated(site: Site, name: str) -> dict[str, Any]:
    """A job that ends once its gate is there."""
    script = 'while [ ! -e "$1" ]; do sleep 0.05; done; echo "$2" >> "$3"'
    words = ["sh", "-c", script, "sh", f"{site.program.folder}/{name}", name, str(site.marks)]
    return jobspec(task(words), name=name)


def states(site: Site) -> dict[str, JobState]:
    return {row.name: row.state for row in site.program.rows()}


def heard(site: Site) -> Callable[[], bool]:
    """For eventually(): a daemon runs and knows that it drains."""
    folder = site.program.state_dir
    return lambda: (
        agent_lock.running(folder) is not None
        and bool(runtime_file.read_runtime(folder).get("draining"))
    )


def test_a_drained_cluster_takes_nothing_and_finishes_what_it_has(site: Site) -> None:
    """Its running job continues, new ones wait in rainbow, across a restart, until `resume`."""
    program = site.program
    with program.background("start") as agent:
        site.fleet.send(gated(site, "here"))
        eventually(lambda: states(site).get("here") is JobState.RUNNING, "the job runs")
        drained = program.run("drain", "--reason", "kernel\x1b[31m update")
        assert (drained.code, drained.err) == (0, "")
        eventually(heard(site), "the daemon has heard")
        site.fleet.send(jobspec(task(site.writes("later")), name="later"))
        late = program.run("drain", "--wait", "--timeout", "0.5")
        assert late.code == 124, late
        assert "1 job still open" in late.err
        (program.folder / "here").touch()
        assert program.run("drain", "--wait").code == 0
        eventually(lambda: site.fleet.state_holds("draining == 1"), "rainbow has the reports")
        assert agent.stop() == 0, agent.log()
    assert states(site) == {"here": JobState.COMPLETED}
    assert len(site.fleet.waiting()) == 1
    with program.background("start") as agent:
        eventually(heard(site), "it still drains")
        drain = drain_file.read_drain(program.state_dir)
        assert drain is not None
        assert drain.reason == r"kernel\x1b[31m update"
        assert len(site.fleet.waiting()) == 1
        assert program.run("resume").out.startswith("Cluster blue takes new jobs again")
        program.await_end(2)
        eventually(lambda: site.fleet.state_holds("draining == 0"), "rainbow has the reports")
        assert agent.stop() == 0, agent.log()
    assert site.written() == ["here", "later"]


@pytest.mark.full
def test_draining_while_no_daemon_runs(tmp_path: Path) -> None:
    """With --offline, before the first start too; a wait for jobs that no daemon follows ends."""
    with running_site(tmp_path) as site:
        program = site.program
        program.state_dir.mkdir(mode=0o700)
        assert program.run("drain", "--offline", "--wait").code == 0
        assert program.run("register").code == 0
        site.fleet.send(gated(site, "long"))
        program.until_idle()
        assert states(site) == {}
        assert program.run("resume", "--offline").code == 0
        with program.background("start") as agent:
            eventually(lambda: states(site).get("long") is JobState.RUNNING, "the job runs")
            assert agent.stop() == 0
        alone = program.run("drain", "--offline", "--wait")
        assert alone.code == 1
        assert "no daemon is using" in alone.err
        assert "1 job" in alone.err
        assert program.run("resume", "--offline").code == 0
        assert "was not drained" in program.run("resume", "--offline").out
        (program.folder / "long").touch()
        program.until_idle()


def test_a_timeout_goes_with_a_wait(tmp_path: Path) -> None:
    """Without --wait there is nothing to time: wrong usage."""
    with running_site(tmp_path) as site:
        assert site.program.run("drain", "--timeout", "5").code == 2
        assert not site.program.state_dir.exists()


def _feeds_only_while_all_move(
    site: Site, messages: list[str], said: Callable[[str], Callable[[], bool]]
) -> None:
    """One loop that stands still keeps the watchdog hungry, until it moves again."""
    hold = site.program.folder / "hold"
    hold.mkdir()
    test: dict[str, Any] = {"test_hold": hold, "test_loop_limit": 1.5, "test_crash_allowed": 1}
    with site.program.background("start", **test) as agent:
        eventually(said("WATCHDOG=1"), "it is fed")
        (hold / "journal").touch()
        agent.says("These loops hang: journal")
        said("nothing")()
        messages.clear()
        Event().wait(1.0)
        assert not said("WATCHDOG=1")()
        (hold / "journal").unlink()
        eventually(said("WATCHDOG=1"), "it is fed again")
        assert agent.stop() == 0


@pytest.mark.full
def test_what_systemd_hears(tmp_path: Path) -> None:
    """READY when the loops run, a status line, the watchdog fed, STOPPING; jobs do not notice."""
    address = tmp_path / "notify"
    messages: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.setblocking(False)

        def said(wanted: str) -> Callable[[], bool]:
            def look() -> bool:
                while True:
                    try:
                        messages.append(manager.recv(4096).decode())
                    except BlockingIOError:
                        return any(message.startswith(wanted) for message in messages)

            return look

        environ = {"NOTIFY_SOCKET": str(address), "WATCHDOG_USEC": "200000"}
        with running_site(tmp_path, environ=environ) as site:
            marks = site.program.folder / "environment"
            with site.program.background("start") as agent:
                eventually(said("READY=1"), "it is ready")
                eventually(said("STATUS=cluster blue"), "it says how it is")
                for _ in range(3):
                    messages.clear()
                    eventually(said("WATCHDOG=1"), "the watchdog is fed")
                eventually(site.program.config.exists, "the cluster is registered")
                site.fleet.send(jobspec(task(["sh", "-c", f"env > {marks}"])))
                site.program.await_end(1)
                agent.signal(signal.SIGTERM)
                eventually(said("STOPPING=1"), "it says that it ends")
                assert agent.wait() == 0
            _feeds_only_while_all_move(site, messages, said)
            assert "PATH=" in marks.read_text()
            assert "NOTIFY_SOCKET" not in marks.read_text()
            assert "WATCHDOG" not in marks.read_text()
    assert os.path.lexists(address)
