"""The ledger breaks while the daemon runs: it is named, put right in place, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.errors import RequestDenied
from rainbow_agent.core.model import JobRow
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState, TaskState
from support.common import eventually
from support.disks import no_writes
from support.fleet import jobspec, task
from support.program import Running
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site
from support.tiers import sample

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
    """A registered cluster whose agent does not run.

    All clusters have one token, as the Go server has it: then a graph is renewed by registering
    again, which must not make other jobs of those that were received before.
    """
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    with running_site(tmp_path, kind, flux=flux, global_token="shared") as site:
        assert site.program.run("register").code == 0
        yield site


def ledger_of(site: Site) -> Path:
    return site.program.state_dir / "ledger.sqlite"


def none_waits(site: Site) -> bool:
    """Whether rainbow's list is empty; its secret may be another one at this moment."""
    try:
        return not site.fleet.waiting()
    except RequestDenied:
        return False


def rows(site: Site) -> dict[str, JobRow]:
    """Jobs by name; none while the ledger is being replaced."""
    try:
        return {row.name: row for row in site.program.rows()}
    except Exception:  # noqa: BLE001 - whatever a reader meets at that moment
        return {}


def state_of(site: Site, name: str) -> JobState | None:
    found = rows(site).get(name)
    return found.state if found else None


def reasons(site: Site) -> list[str]:
    return [each["name"] for each in site.program.show("status")["reasons"]]


def waits_for(gate: Path, site: Site, line: str) -> list[str]:
    """A task that says that it began, and ends when the gate is there."""
    script = 'echo "$1 begun" >> "$2"; while [ ! -e "$3" ]; do sleep 0.05; done; echo "$1" >> "$2"'
    return ["sh", "-c", script, "sh", line, str(site.marks), str(gate)]


def break_ledger(path: Path, how: str) -> None:
    """What happens to a file under a program that has it open."""
    if how == "truncated":
        os.truncate(path, path.stat().st_size // 2)
    elif how == "emptied":
        os.truncate(path, 0)
    elif how == "flipped":
        # Its log, too: what stands there is read instead of the same page of the file.
        for each in (path, Path(f"{path}-wal")):
            with each.open("r+b") as file:
                data = bytearray(file.read())
                for place in range(64, len(data), 61):
                    data[place] ^= 0xFF
                file.seek(0)
                file.write(data)
    elif how == "removed":
        for end in ("", "-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
    else:
        other = path.with_name("other.sqlite")
        shutil.copyfile(path, other)
        other.rename(path)


def one_job_done_and_one_runs(site: Site, gate: Path, agent: Running) -> None:
    agent.says("Caught up")
    site.fleet.send(jobspec(task(site.writes("first")), name="first"))
    site.program.await_end(1)
    chain = [
        task(waits_for(gate, site, "second"), "wait"),
        task(site.writes("third"), "then", depends_on=["wait"]),
    ]
    site.fleet.send(jobspec(*chain, name="second"))
    eventually(lambda: "second begun" in site.written(), "it runs")
    eventually(lambda: not site.unreported(), "rainbow has the reports")


@pytest.mark.parametrize(
    "how",
    sample(["truncated", "emptied", "flipped", "removed", "replaced"], quick=["truncated"]),
)
def test_the_ledger_breaks_while_the_daemon_runs(site: Site, tmp_path: Path, how: str) -> None:
    """The process continues with a ledger that is whole; every task has run once in the end."""
    gate = tmp_path / "gate"
    with site.program.background("start") as agent:
        one_job_done_and_one_runs(site, gate, agent)
        break_ledger(ledger_of(site), how)
        site.fleet.send(jobspec(task(site.writes("fourth")), name="fourth"))
        agent.says("restarting in")
        eventually(lambda: state_of(site, "fourth") is JobState.COMPLETED, "later jobs run")
        gate.touch()
        eventually(lambda: state_of(site, "second") is JobState.COMPLETED, "and earlier ones end")
        eventually(lambda: none_waits(site), "rainbow let go of all")
        aside = sorted(ledger_of(site).parent.glob("ledger.sqlite.damaged-*Z"))
        if how in ("truncated", "emptied", "flipped"):
            assert len(aside) == 1
            assert str(aside[0]) in agent.log()
            eventually(lambda: "ledger-rebuilt" in reasons(site), "status says so")
        else:
            assert aside == []
        assert agent.alive()
        assert "Traceback" not in agent.log()
        assert agent.stop() == 0, agent.log()
    assert sorted(site.written()) == ["first", "fourth", "second", "second begun", "third"]
    assert {name: row.state for name, row in rows(site).items()} == dict.fromkeys(
        ("first", "second", "fourth"), JobState.COMPLETED
    )


@pytest.mark.full
def test_writes_fail_for_a_while(site: Site, tmp_path: Path) -> None:
    """At a limit of its files' size the daemon waits as on a full disk, and then continues."""
    gate = tmp_path / "gate"
    with site.program.background("start") as agent:
        one_job_done_and_one_runs(site, gate, agent)
        with no_writes(agent):
            site.fleet.send(jobspec(task(site.writes("fourth")), name="fourth"))
            gate.touch()
            eventually(lambda: "third" in site.written(), "Flux continues meanwhile")
            assert not agent_ends(agent, 3.0)
        site.program.await_end(3)
        eventually(lambda: none_waits(site), "rainbow let go of all")
        assert agent.stop() == 0, agent.log()
    assert sorted(site.written()) == ["first", "fourth", "second", "second begun", "third"]
    assert {row.state for row in site.program.rows()} == {JobState.COMPLETED}


def agent_ends(agent: Running, seconds: float) -> bool:
    """Whether it ends within this time."""
    try:
        agent.wait(seconds)
    except AssertionError:
        return False
    return True


def half_submitted(site: Site) -> None:
    """Kill the agent when one task is in the workload manager; then its ledger is lost."""
    chain = [
        task(site.writes("one"), "one"),
        task(site.writes("two"), "two", depends_on=["one"], replicas=2),
        task(site.writes("three"), "three", depends_on=["two"]),
    ]
    site.fleet.send(jobspec(*chain, name="half"))
    armed = {"test_crash": "submitted", "test_crash_allowed": "1"}
    with site.program.background("start", **armed) as agent:
        assert agent.wait() == -signal.SIGKILL
    for end in ("", "-wal", "-shm"):
        Path(f"{ledger_of(site)}{end}").unlink(missing_ok=True)


def test_a_job_half_in_flux_is_offered_again(site: Site) -> None:
    """The ledger is lost, the workload manager has one task of it, rainbow still has the job."""
    half_submitted(site)
    with site.program.background("start") as agent:
        site.program.await_end(1)
        eventually(lambda: not site.unreported(), "rainbow has the reports")
        eventually(lambda: none_waits(site), "and let go of it")
        eventually(lambda: "ledger-rebuilt" not in reasons(site), "nothing was put aside")
        assert agent.stop() == 0, agent.log()
    (job,) = site.program.rows()
    assert (job.name, job.state) == ("half", JobState.COMPLETED)
    assert {t.key.task: t.depends_on for t in job.tasks} == {
        "one": (),
        "two": ("one",),
        "three": ("two",),
    }
    assert sorted(site.written()) == ["one", "three", "two", "two"]


@pytest.mark.full
def test_a_job_half_in_flux_that_rainbow_has_no_more(site: Site) -> None:
    """Stored as far as the workload manager has it; it is not said to have completed."""
    half_submitted(site)
    with closing(sqlite3.connect(site.scheduler.db, timeout=30.0)) as db, db:
        db.execute("DELETE FROM jobs")
    with site.program.background("start") as agent:
        eventually(
            lambda: state_of(site, "half") in FINAL_JOB_STATES, "what there is of it is there"
        )
        assert agent.stop() == 0, agent.log()
    (job,) = site.program.rows()
    ends = {"one": TaskState.COMPLETED, "unknown": TaskState.FAILED}
    assert {t.key.task: t.state for t in job.tasks} == ends
    assert job.state is JobState.FAILED
    assert "jobspec is lost" in str(job.reason)
    assert site.written() == ["one"]
