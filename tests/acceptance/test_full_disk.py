"""A disk that is full, or read-only, under the ledger: named, waited out, nothing lost or twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.states import JobState
from rainbow_agent.jobspec.wire import to_wire
from support.common import eventually
from support.disks import SmallDisk, missing_disk, small_disk
from support.fleet import jobspec, task
from support.program import Running
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

ALL = ["first", "fourth", "second", "second begun", "third"]


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
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Site, SmallDisk]]:
    """A site whose state folder is a file system of its own.

    The local workload manager's folder in it is on the machine's disk, as Flux's is: one whose own
    disk is full leaves, and what it ran has no exit status (tests/unit/workload).
    """
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux) or missing_disk():
        pytest.skip(missing)
    with (
        small_disk(tmp_path / "state") as disk,
        running_site(tmp_path, kind, flux=flux) as site,
    ):
        elsewhere, folder = tmp_path / "workload", tmp_path / "state" / "workload"
        for path in (elsewhere, folder):
            path.mkdir(mode=0o700)
        disk.mount("--bind", elsewhere, folder)
        yield site, disk


def seen(site: Site) -> list[str]:
    """What `status` says is wrong."""
    return [each["name"] for each in site.program.show("status")["reasons"]]


def full_with_jobs_underway(site: Site, disk: SmallDisk, agent: Running, gate: Path) -> None:
    """One job done, one runs, one waits in rainbow; then there is no space, and the one ends."""
    agent.says("Caught up")
    eventually(site.program.config.exists, "it is registered")
    eventually(lambda: site.fleet.credentials.cluster_secret, "it has its secret")
    site.fleet.send(jobspec(task(site.writes("first")), name="first"))
    site.program.await_end(1)
    script = 'echo "$1 begun" >> "$2"; while [ ! -e "$3" ]; do sleep 0.05; done; echo "$1" >> "$2"'
    wait = ["sh", "-c", script, "sh", "second", str(site.marks), str(gate)]
    then = task(site.writes("third"), "then", depends_on=["wait"])
    site.fleet.send(jobspec(task(wait, "wait"), then, name="second"))
    eventually(lambda: "second begun" in site.written(), "it runs")
    eventually(lambda: not site.unreported(), "rainbow has the reports")
    disk.fill()
    # More than what is left of the ledger's log: it has to grow.
    text = to_wire(jobspec(task(site.writes("fourth")), name="fourth"))
    site.fleet.send(f"{text}\n# {'x' * 1_000_000}\n")
    gate.touch()
    eventually(lambda: "ledger-unwritable" in seen(site), "status says so")
    eventually(lambda: "third" in site.written(), "Flux continues meanwhile")
    assert agent.alive(), agent.log()
    assert "disk is full" in agent.log()
    assert "fourth" not in site.written()


def all_is_well(site: Site, agent: Running) -> None:
    site.program.await_end(3)
    eventually(lambda: not site.fleet.waiting(), "rainbow let go of all")
    assert agent.stop() == 0, agent.log()
    assert "Traceback" not in site.program.logs()
    assert sorted(site.written()) == ALL
    assert {row.name: row.state for row in site.program.rows()} == dict.fromkeys(
        ("first", "second", "fourth"), JobState.COMPLETED
    )


@pytest.mark.full
def test_it_goes_on_by_itself_when_there_is_room(
    place: tuple[Site, SmallDisk], tmp_path: Path
) -> None:
    """The daemon takes nothing while the disk is full, stays, and ends up where it would have."""
    site, disk = place
    with site.program.background("start") as agent:
        full_with_jobs_underway(site, disk, agent, tmp_path / "gate")
        disk.free()
        agent.says("The ledger can be written again")
        eventually(lambda: "ledger-unwritable" not in seen(site), "status is well again")
        all_is_well(site, agent)


@pytest.mark.full
def test_killed_on_a_full_disk(place: tuple[Site, SmallDisk], tmp_path: Path) -> None:
    """A start on a full disk says what is wrong; with space again, nothing is lost or twice."""
    site, disk = place
    with site.program.background("start") as agent:
        full_with_jobs_underway(site, disk, agent, tmp_path / "gate")
        agent.kill()
    with site.program.background("start") as agent:
        eventually(lambda: not agent.alive() or "ledger-unwritable" in seen(site), "it is named")
        if not agent.alive():
            assert agent.wait() == 1, agent.log()  # it may be started again
            assert "disk is full" in agent.log()
        agent.kill()
    disk.free()
    with site.program.background("start") as agent:
        all_is_well(site, agent)


def test_a_stop_on_a_full_disk(place: tuple[Site, SmallDisk], tmp_path: Path) -> None:
    """SIGTERM ends it in order there, too."""
    site, disk = place
    with site.program.background("start") as agent:
        full_with_jobs_underway(site, disk, agent, tmp_path / "gate")
        assert agent.stop() == 0, agent.log()
    disk.free()
    with site.program.background("start") as agent:
        all_is_well(site, agent)


@pytest.mark.full
def test_a_read_only_folder_is_named(place: tuple[Site, SmallDisk]) -> None:
    """At the start: which folder, that it is mounted read-only, and no traceback."""
    site, disk = place
    with site.program.background("start") as agent:
        agent.says("Caught up")
        assert agent.stop() == 0
    site.program.end_local_workload()  # no file there may be open to write
    disk.mount("-o", "remount,ro", disk.path)
    with site.program.background("start") as agent:
        assert agent.wait() == 2
        assert f"{disk.path} is on a file system that is mounted read-only" in agent.log()
    disk.mount("-o", "remount,rw", disk.path)
    with site.program.background("start") as agent:
        agent.says("Caught up")
        assert agent.stop() == 0


@pytest.mark.full
def test_a_read_only_ledger_is_named(place: tuple[Site, SmallDisk]) -> None:
    """At the start: which file, what to do, 42; it is not taken for damage and stays there."""
    site, disk = place
    with site.program.background("start") as agent:
        agent.says("Caught up")
        assert agent.stop() == 0
    ledger = disk.path / "ledger.sqlite"
    disk.mount("--bind", ledger, ledger)
    disk.mount("-o", "remount,bind,ro", ledger)
    with site.program.background("start") as agent:
        assert agent.wait() == 42, agent.log()
        assert f"{ledger}: attempt to write a readonly database" in agent.log()
        assert "make the file and its folder writable" in agent.log()
    assert list(disk.path.glob("*damaged*")) == []
    disk.mount("-o", "remount,bind,rw", ledger)
    with site.program.background("start") as agent:
        agent.says("Caught up")
        assert agent.stop() == 0
