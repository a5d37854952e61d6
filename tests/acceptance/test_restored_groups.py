"""A group fails, and the ledger is put back to a copy from before that; the clock may be off.

What depends on the group is then what it was without that, and what Flux says.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from support.common import eventually
from support.databases import copy_hot, put_back
from support.fleet import task
from support.program import Running
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

#: Of the job's tasks; what is in a group goes behind it.
TOP: Final = {
    "g": "failed",
    "after": "canceled",
    "later": "canceled",
    "h": "canceled",
    "beside": "completed",
}
INSIDE: Final = {"g/x": "failed", "g/y": "canceled", "h/z": "canceled"}
#: Where the agent is killed, and the ledger copied: before a job is planned, in between, after.
KILLED: Final = ("written", "planned", "marked", "submitted", "recorded")
#: When else it is copied: before the job was sent, and while its group runs.
SOUND: Final = ("unheard", "running")


@pytest.fixture(
    params=[
        pytest.param(False, id="local", marks=pytest.mark.full),
        pytest.param(True, id="flux", marks=pytest.mark.flux),
    ]
)
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A registered cluster whose agent does not run, and whose clock can be set."""
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=request.param):
        pytest.skip(missing)
    set_clock(tmp_path, 0)
    with running_site(
        tmp_path, flux=request.param, test_crash_allowed="1", test_clock=tmp_path / "clock"
    ) as site:
        assert site.program.run("register").code == 0
        yield site


def set_clock(folder: Path, seconds: int) -> None:
    """By so much the agent's clock is wrong from now on."""
    fresh = folder / "clock.new"
    fresh.write_text(str(seconds))
    fresh.rename(folder / "clock")


def job(site: Site, gate: Path) -> dict[str, Any]:
    """A group that fails once the gate is there, what depends on it, and what does not."""
    script = f"echo begun >> {site.marks}; while [ ! -e {gate} ]; do sleep 0.05; done; exit 3"
    quick = ["true"]
    return {
        "version": 1,
        "name": "job",
        "resources": {"one": {"type": "core", "count": 1}},
        "tasks": [
            {"group": "g"},
            task(quick, "after", depends_on=["g"]),
            task(quick, "later", depends_on=["after"], replicas=2),
            {**task(quick, "beside"), "depends_on": []},
            {"group": "h"},
        ],
        "groups": [
            {
                "name": "g",
                "resources": "one",
                "tasks": [
                    task(["sh", "-c", script], "x"),
                    task(quick, "y", depends_on=["x"]),
                ],
            },
            {"name": "h", "resources": "one", "depends_on": ["g"], "tasks": [task(quick, "z")]},
        ],
    }


def states(site: Site) -> dict[str, str]:
    """The ledger's: of each task, all of its replicas together."""
    (row,) = site.program.rows()
    found: dict[str, set[str]] = {}
    for each in row.tasks:
        found.setdefault(each.key.task, set()).add(each.state.value)
    return {name: "|".join(sorted(each)) for name, each in found.items()}


def flux_states(site: Site) -> dict[str, str]:
    """Flux's, by `flux jobs`; what never ran, as what came before it did not end well."""
    form = "{name}/{result}/{exception.type}"
    said = subprocess.run(
        ["flux", "jobs", "-a", "-n", "-o", form],
        env=site.program.environ,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    lines = [line.split("/") for line in said.splitlines()]
    return {
        name: "canceled" if exception == "dependency" else result.lower()
        for name, result, exception in lines
    }


def copied_where_it_is_killed(site: Site, point: str, copy: Path) -> None:
    """Start the agent, which dies at a point, and copy its ledger."""
    with site.program.background("start", test_crash=point) as agent:
        assert agent.wait() == -signal.SIGKILL
    copy_hot(ledger_of(site), copy)


def ledger_of(site: Site) -> Path:
    return site.program.state_dir / "ledger.sqlite"


def ends(site: Site, agent: Running) -> dict[str, str]:
    """Wait until the job is over; the states of its tasks."""
    site.program.await_end(1)
    eventually(lambda: not site.unreported(), "rainbow let go of it")
    assert agent.alive(), agent.log()
    found = states(site)
    assert agent.stop() == 0, agent.log()
    return found


@pytest.mark.parametrize(
    ("copied", "off"), [("running", 0), *((point, 3000) for point in (*SOUND, *KILLED))]
)
def test_what_depends_on_a_group_that_failed_after_the_copy(
    site: Site, tmp_path: Path, copied: str, off: int
) -> None:
    """A clock that is off is ahead first, then behind, and at last right."""
    copy, gate = tmp_path / "copy.sqlite", tmp_path / "gate"
    set_clock(tmp_path, off)
    if copied == "unheard":
        copy_hot(ledger_of(site), copy)
    site.fleet.send(job(site, gate))
    if copied in KILLED:
        copied_where_it_is_killed(site, copied, copy)
    with site.program.background("start") as agent:
        eventually(lambda: "begun" in site.written(), "the group runs")
        if copied == "running":
            eventually(lambda: states(site).get("g/x") == "running", "the ledger knows")
            copy_hot(ledger_of(site), copy)
        if "FLUX_URI" in site.program.environ:
            eventually(lambda: flux_states(site).keys() == TOP.keys(), "Flux has all tasks")
        set_clock(tmp_path, -off)
        gate.touch()
        assert ends(site, agent) == TOP | INSIDE
    put_back(ledger_of(site), copy)
    set_clock(tmp_path, 0)
    with site.program.background("start") as agent:
        # What is inside of groups stands in no history: only a ledger that had the job knows it.
        assert ends(site, agent) == (TOP if copied == "unheard" else TOP | INSIDE)
    assert site.written() == ["begun"]
    if "FLUX_URI" in site.program.environ:
        assert flux_states(site) == TOP
