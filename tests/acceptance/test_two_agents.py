"""Two agents with one cluster's credentials: one continues, the other gets an error and leaves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from rainbow_agent.core.errors import RequestDenied
from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from support.common import eventually
from support.fleet import Fleet, jobspec, task
from support.program import Program, Running, installed
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

#: How often an agent polls that asks who owns the cluster: it waits three times as long for an
#: answer, which a busy machine may delay; an answer that is there ends the wait.
SLOW_POLL_S = 10

PARTS = [
    pytest.param((SchedulerKind.EMBEDDED, False), id="embedded-local"),
    pytest.param(
        (SchedulerKind.REAL, True),
        id="rainbow-flux",
        marks=[pytest.mark.rainbow, pytest.mark.flux],
    ),
]


@pytest.fixture(params=PARTS)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A cluster that is not registered yet."""
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    with running_site(tmp_path, kind, flux=flux, global_token="shared") as site:
        yield site


@pytest.fixture
def second(site: Site, tmp_path: Path) -> Iterator[Program]:
    """Another agent: a folder of its own, the first one's environment, one Flux for both."""
    folder = tmp_path / "second"
    folder.mkdir()
    own = ("RAINBOW_STATE_DIR", "HOME")
    environ = {name: value for name, value in site.program.environ.items() if name not in own}
    with installed(folder, environ=environ) as program:
        yield program


def none_waits(site: Site) -> bool:
    """Whether rainbow's list is empty; its secret may be another one at this moment."""
    try:
        return not site.fleet.waiting()
    except RequestDenied:
        return False


def copy_credentials(site: Site, second: Program) -> None:
    second.state_dir.mkdir(mode=0o700)
    shutil.copy(site.program.config, second.config)


def is_up(site: Site, agent: Running) -> None:
    agent.says("Caught up")
    eventually(site.program.config.exists, "it is registered")
    eventually(lambda: site.fleet.credentials.cluster_secret, "it has its secret")


def runs(site: Site, *lines: str) -> None:
    """Send a job a line, and wait until all have run and none waits."""
    for line in lines:
        site.fleet.send(jobspec(task(site.writes(line)), name=line))
    eventually(lambda: set(lines) <= set(site.written()), "they ran", seconds=60)
    site.program.await_end(len(lines))
    eventually(lambda: none_waits(site), "none waits")


def is_told_to_leave(second: Running, first: Running, folder: Path) -> None:
    assert second.wait() == 42, second.log()
    said = second.log()
    assert "cluster blue is held by another agent" in said
    assert f"pid {first.pid}, state folder {folder}, since" in said
    assert "Received" not in said
    first.says("Another agent has this cluster's credentials")
    first.says(f"pid {second.pid}")


@pytest.mark.parametrize("what", ["credentials", "folder"])
def test_a_copy_is_told_who_is_there(site: Site, second: Program, what: str) -> None:
    """Jobs come all the while: each runs once, all by the first."""
    with site.program.background("start") as first:
        is_up(site, first)
        runs(site, "one", "two")
        if what == "credentials":
            copy_credentials(site, second)
        else:
            ignore = shutil.ignore_patterns("workload")
            shutil.copytree(site.program.state_dir, second.state_dir, ignore=ignore)
        with second.background("start", poll_max=SLOW_POLL_S) as other:
            runs(site, "three", "four")
            is_told_to_leave(other, first, site.program.state_dir)
        runs(site, "five")
        assert first.stop() == 0
    assert sorted(site.written()) == sorted(["one", "two", "three", "four", "five"])
    assert len(site.program.rows()) == 5


@pytest.mark.full
def test_a_drained_one_answers_too(site: Site, second: Program) -> None:
    """It takes no jobs, and it holds the cluster all the same."""
    with site.program.background("start") as first:
        is_up(site, first)
        runs(site, "one")
        assert site.program.run("drain").code == 0
        first.says("Taking no new jobs")
        copy_credentials(site, second)
        with second.background("start", poll_max=SLOW_POLL_S) as other:
            is_told_to_leave(other, first, site.program.state_dir)
        assert first.stop() == 0


def test_the_first_restarts_at_once(site: Site, second: Program) -> None:
    """The folder that registered does not ask: neither after a stop nor after a SIGKILL."""
    with site.program.background("start") as first:
        first.says("Registered cluster blue")
        first.kill()
    for end in ("kill", "stop"):
        with site.program.background("start") as first:
            runs(site, end)
            assert "asking" not in first.log()
            first.kill() if end == "kill" else first.stop()
    assert second.rows() == []


@pytest.mark.full
def test_a_successor_without_the_folder(site: Site, second: Program) -> None:
    """The first is gone and only its credentials are left: the second continues in its place.

    Its secret is another one soon, so that the first gets an error if it comes back.
    """
    with site.program.background("start") as first:
        is_up(site, first)
        runs(site, "one")
        copy_credentials(site, second)
        first.kill()
    site.fleet.send(jobspec(task(site.writes("two")), name="two"))
    with second.background("start") as other:
        other.says("No other agent receives the jobs of cluster blue")
        eventually(lambda: "two" in site.written(), "it takes the jobs")
        before = site.fleet.credentials.cluster_secret
        eventually(lambda: before not in second.config.read_text(), "it has another secret")
        with site.program.background("start") as first:
            assert first.wait() == 42, first.log()
            assert "has cluster blue and denies the secret" in first.log()
        theirs = Site(site.scheduler, second, fleet_of(site, second), site.marks)
        runs(theirs, "three")
        assert other.stop() == 0, other.log()
    assert sorted(site.written()) == ["one", "three", "two"]
    assert {row.state for row in second.rows()} == {JobState.COMPLETED}


def fleet_of(site: Site, program: Program) -> Fleet:
    return Fleet(site.scheduler.host, program.config)


def test_two_that_start_together(site: Site, second: Program, tmp_path: Path) -> None:
    """Copies of credentials whose holder is gone: one agent continues, the other gets an error."""
    assert site.program.run("register").code == 0
    copy_credentials(site, second)
    shutil.rmtree(site.program.state_dir)
    site.program.state_dir.mkdir(mode=0o700)
    shutil.copy(second.config, site.program.config)
    with (
        site.program.background("start", poll_max=2) as first,
        second.background("start", poll_max=2) as other,
    ):
        eventually(lambda: first.alive() is not other.alive(), "one of them leaves", seconds=60)
        stays, leaves = (first, other) if first.alive() else (other, first)
        assert leaves.wait() == 42
        assert f"pid {stays.pid}" in leaves.log()
        program = site.program if stays is first else second
        runs(Site(site.scheduler, program, fleet_of(site, program), site.marks), "one")
        assert stays.stop() == 0
    assert site.written() == ["one"]


@pytest.mark.full
def test_another_program_takes_the_rows(site: Site, second: Program) -> None:
    """One that does not know the question, such as an older agent: 42 as well."""
    assert site.program.run("register").code == 0
    copy_credentials(site, second)
    mine = site.fleet.credentials
    with ExitStack() as stack:
        taker = stack.enter_context(closing(RainbowScheduler(site.scheduler.host)))
        other = stack.enter_context(second.background("start", poll_max=1))

        def takes() -> bool:
            rows = taker.receive(mine.cluster, mine.cluster_secret, 0)
            taker.accept(mine.cluster, mine.cluster_secret, [row.id for row in rows])
            return not other.alive()

        eventually(takes, "it leaves", seconds=60)
        assert other.wait() == 42
        assert "held by another program, which did not say who it is" in other.log()
