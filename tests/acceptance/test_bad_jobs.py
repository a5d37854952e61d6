"""Badly written jobs, through the running daemon: each is answered, the next runs."""

from __future__ import annotations

import json
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.model import JobRow
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from support.common import eventually
from support.evil import NASTY, Evil, corpus
from support.fleet import jobspec, task
from support.servers import SchedulerKind
from support.site import Site, missing_parts, running_site

#: Rows that no client could have sent (gRPC's limit is 4 MiB): longer than a jobspec may be, and
#: longer than any reply that is read.
LARGE = Evil("large", "version: 1\nname: " + "x" * (20 << 20))
GIANT = Evil("giant", "version: 1\nname: " + "x" * (100 << 20))
MEBIBYTES = 256  # that the daemon may use at its peak


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


def put(site: Site, *jobs: Evil) -> None:
    """Rows as a server may hold them: past what SubmitJob, gRPC and SQL would let through."""
    with closing(sqlite3.connect(site.scheduler.db, timeout=30.0)) as db, db:
        db.executemany(
            "INSERT INTO jobs (name, cluster, jobspec) VALUES (?, 'blue', ?)",
            [(job.name, job.text.encode("utf-8", "replace").decode()) for job in jobs],
        )


def good(name: str) -> Evil:
    return Evil(name, json.dumps(jobspec(task(["true"]), name=name)), runs=True)


def peak(pid: int) -> int:
    """MiB that a process had in memory at most."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) // 1024


def is_over(site: Site, names: set[str]) -> dict[str, JobRow] | None:
    rows = site.program.rows()
    over = {row.name for row in rows if row.state in FINAL_JOB_STATES}
    return {row.name: row for row in rows} if names <= over else None


def steers(text: str) -> list[str]:
    """Characters that a terminal acts on."""
    return [c for c in text if unicodedata.category(c) in ("Cc", "Cf", "Cs") and c != "\n"]


def test_the_corpus_and_the_job_after_it(site: Site) -> None:
    """Each is refused with its reason, stored, counted and shown; what stands between runs."""
    bad = [evil for evil in corpus() if evil.runs is False]
    half = len(bad) // 2
    with site.program.background("start") as agent:
        put(site, *bad[:half], good("between"), *bad[half:], good("last"))
        eventually(
            lambda: is_over(site, {"between", "last"}) and not site.fleet.waiting(),
            "the jobs between them ran and rainbow let go of all",
            seconds=120,
        )
        assert peak(agent.pid) < MEBIBYTES
        assert agent.stop() == 0
    rows = site.program.rows()
    assert len(rows) == len(bad) + 2
    refused = [row for row in rows if row.state is JobState.REFUSED]
    assert len(refused) == len(bad)
    assert [row for row in refused if not row.reason or not row.reason.isprintable()] == []
    assert {row.state for row in rows} == {JobState.REFUSED, JobState.COMPLETED}
    assert site.program.show("status")["jobs"]["refused"] == len(bad)
    assert "Traceback" not in agent.log()


@pytest.mark.full
def test_a_row_longer_than_a_jobspec_hides_no_other(site: Site) -> None:
    """Refused for its length, kept in part, in bounded memory, and those behind it run."""
    with site.program.background("start") as agent:
        put(site, good("before"), LARGE, good("after"))
        eventually(lambda: is_over(site, {"before", "after"}), "both ran", seconds=120)
        eventually(lambda: not site.fleet.waiting(), "rainbow let go of it")
        assert peak(agent.pid) < MEBIBYTES
        assert agent.stop() == 0
    (large,) = [row for row in site.program.rows() if row.name == LARGE.name]
    assert large.state is JobState.REFUSED
    assert re.match(r"the job is \d\d,\d{3},\d{3} bytes long, more than is", large.reason or "")
    assert "larger than a jobspec may be (" in agent.log()
    size = sum(path.stat().st_size for path in site.program.state_dir.rglob("*"))
    assert size < 32 << 20, "the ledger keeps a part of it"


@pytest.mark.full
def test_a_row_that_no_reply_can_hold_is_a_condition(site: Site) -> None:
    """Jobs behind it wait, `status` says what to do, and nothing is accepted that was not read."""
    with site.program.background("start") as agent:
        put(site, good("before"), GIANT, good("after"))
        eventually(lambda: is_over(site, {"before"}) or refuses(site), "it is said", seconds=120)
        eventually(lambda: "cannot be read" in refuses(site), "the cause is a condition")
        assert "rainbow's operator has to remove it (table `jobs` of its database)" in refuses(site)
        assert peak(agent.pid) < MEBIBYTES
        with closing(sqlite3.connect(site.scheduler.db, timeout=30.0)) as db, db:
            assert db.execute("DELETE FROM jobs WHERE name = ?", (GIANT.name,)).rowcount == 1
        eventually(lambda: is_over(site, {"before", "after"}), "both ran", seconds=120)
        eventually(lambda: not refuses(site), "all is well again")
        assert agent.stop() == 0


def refuses(site: Site) -> str:
    """What `status` says of a rainbow that answers no; "" for nothing."""
    reasons = site.program.show("status")["reasons"]
    return next((r["reason"] for r in reasons if r["name"] == "rainbow-refuses"), "")


@pytest.mark.full
def test_nasty_names_steer_no_terminal(site: Site) -> None:
    """Names with escapes, newlines and paths: no log line and no verb's text passes them on."""
    evil = [Evil(nasty.replace("\0", ""), "version: 1\ntasks: 1\n") for nasty in NASTY]
    named = [
        Evil(f"named-{place}", json.dumps(jobspec(task(["true"], nasty), name=nasty)), None)
        for place, nasty in enumerate(NASTY)
    ]
    with site.program.background("start", log_format="text", log_level="debug") as agent:
        put(site, *evil, *named, good("last"))
        eventually(lambda: is_over(site, {"last"}) and not site.fleet.waiting(), "all are over")
        eventually(
            lambda: all(row.state in FINAL_JOB_STATES for row in site.program.rows()), "all are"
        )
        seen = agent.log()
        for words in (
            ("jobs",),
            ("status",),
            *(("explain", str(row.key.id)) for row in site.program.rows()),
            *(("jobs", str(row.key.id)) for row in site.program.rows()),
        ):
            answer = site.program.run(*words)
            assert answer.code == 0, answer
            seen += answer.out + answer.err
        assert agent.stop() == 0
    assert steers(seen) == []
    put(site, *evil)
    answer = site.program.run("receive")
    assert answer.code == 0
    assert steers(answer.out + answer.err) == []


def test_no_text_of_a_job_chooses_where_the_agent_writes(site: Site) -> None:
    """After jobs that name paths everywhere, nothing is in any folder but the agent's own."""
    before = outside(site)
    paths = ["../../chosen", f"{site.program.folder}/chosen", "a/../../b", "~/chosen"]
    jobs = [
        Evil(f"job {path}", json.dumps(jobspec(task(["true"], path), name=path)), None)
        for path in paths
    ]
    with site.program.background("start") as agent:
        put(site, *jobs, good("last"))
        eventually(lambda: is_over(site, {"last"}) and not site.fleet.waiting(), "all are over")
        assert agent.stop() == 0
    assert {name for name in outside(site) - before if not name.startswith("run-")} == set()


def outside(site: Site) -> set[str]:
    """Names beside the state folder and beside the test's folder."""
    return {
        path.name
        for folder in (site.program.folder, site.program.folder.parent)
        for path in folder.iterdir()
        if not path.name.startswith(("embedded", "rainbow"))
    }
