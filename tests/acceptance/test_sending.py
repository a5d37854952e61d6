"""A sender with an inbox: what they see of their jobs from another folder than the cluster's."""

from __future__ import annotations

import base64
import json
import sqlite3
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.messages import rows
from support.common import eventually
from support.desk import Desk
from support.servers import SchedulerKind
from support.site import missing_parts, running_site


@pytest.fixture(
    params=[
        SchedulerKind.EMBEDDED,
        # The real rainbow takes the same way; tests/contract/test_inboxes.py has both, always.
        pytest.param(SchedulerKind.EMBEDDED_ROWS, marks=pytest.mark.full),
        pytest.param(SchedulerKind.REAL, marks=pytest.mark.rainbow),
    ],
    ids=["boxes", "rows", "rainbow"],
)
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """Over each way that messages take, with the local workload manager."""
    kind: SchedulerKind = request.param
    if kind.missing():
        pytest.skip(kind.missing())
    with desk_at(tmp_path, kind) as found:
        yield found


@pytest.fixture(
    params=[
        pytest.param((SchedulerKind.EMBEDDED, False), id="boxes-local"),
        pytest.param((SchedulerKind.EMBEDDED_ROWS, False), id="rows-local", marks=pytest.mark.full),
        pytest.param((SchedulerKind.REAL, False), id="rainbow-local", marks=pytest.mark.rainbow),
        pytest.param(
            (SchedulerKind.REAL, True),
            id="rainbow-flux",
            marks=[pytest.mark.rainbow, pytest.mark.flux],
        ),
    ]
)
def any_desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    """Over each pair of parts."""
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    with desk_at(tmp_path, kind, flux=flux) as found:
        yield found


@contextmanager
def desk_at(folder: Path, kind: SchedulerKind, *, flux: bool = False) -> Iterator[Desk]:
    """A cluster that is registered, and a sender."""
    with running_site(folder, kind, flux=flux) as site:
        assert site.program.run("register").code == 0
        yield Desk(site, folder / "sender")


def test_a_sender_sees_what_becomes_of_their_jobs(any_desk: Desk) -> None:
    """From submit to the exit code, in the words and with the JSON of the cluster."""
    path = any_desk.make_inbox()
    assert path.stat().st_mode & 0o777 == 0o600
    with any_desk.site.program.background("start"):
        answer = any_desk.sender.run("submit", "--wait", "--", "sh", "-c", "exit 3")
        assert answer.code == 3, answer
        assert "on blue: failed: exit code 3" in answer.out
        good = any_desk.submit("true")
        bad = any_desk.submit("sh", "-c", "exit 4")
        waited = any_desk.sender.run("wait", good, bad)
        assert waited.code == 4, waited
        assert any_desk.sender.run("wait", good).code == 0
        on_cluster = {job["id"]: job for job in any_desk.site.program.show("jobs")}
        sent = any_desk.sender.show("jobs", "--sent")
        assert [job["state"] for job in sent] == ["failed", "completed", "failed"]
        for job in sent:
            there = on_cluster[job["id"]]
            same = ("name", "state", "reason", "received", "finished", "tasks", "registration")
            assert {key: job[key] for key in same} == {key: there[key] for key in same}
            assert job["cluster"] == "blue"
        (one,) = any_desk.sender.show("status", good)
        assert one == sent[1]
        assert good in any_desk.sender.run("jobs", "--sent").out
        shown = any_desk.sender.run("status", bad)
        assert "exit code 4" in shown.out
        assert shown.code == 0


def test_a_sender_who_was_away_learns_all_of_it(desk: Desk) -> None:
    """What was told waits in rainbow; from a copy of the folder it is read as well."""
    desk.make_inbox()
    handle = desk.submit("true")
    assert [job["state"] for job in desk.sender.show("jobs", "--sent")] == ["sent"]
    (waiting,) = desk.site.program.show("receive")
    assert waiting["jobspec"].endswith(f"  rainbow-agent: {handle}\n"), "no secret is shown of it"
    desk.site.program.until_idle()
    desk.site.scheduler.restart(keep_db=True)
    (job,) = desk.sender.show("status", handle)
    assert (job["state"], job["tasks"][0]["exit_code"]) == ("completed", 0)
    exported = json.loads(desk.site.program.run("history", "export").out)
    assert exported["jobspec"] == waiting["jobspec"]


def test_without_an_inbox_nothing_is_added_to_a_job(desk: Desk) -> None:
    """Its jobspec is as it was, and the ledger has no handle."""
    answer = desk.sender.run("submit", "-o", "json", "--", "true")
    assert answer.value["handle"] is None
    (offer,) = desk.site.fleet.waiting()
    assert "rainbow-agent" not in offer.jobspec
    desk.site.program.until_idle()
    with closing(sqlite3.connect(desk.site.program.state_dir / "ledger.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM handle").fetchone() == (0,)
        assert db.execute("SELECT DISTINCT told FROM job").fetchall() == [(None,)]


def test_verbs_of_a_sender_say_what_is_missing(desk: Desk) -> None:
    """An inbox, the registration secret, a handle that is one."""
    for words in (
        ("jobs", "--sent"),
        ("status", "rb-aaaaaaaaaaaaaaaa"),
        ("submit", "--wait", "--", "x"),
    ):
        answer = desk.sender.run(*words)
        assert answer.code == 2
        assert "inbox create" in answer.err
    answer = desk.sender.run("submit", "--inbox", "auto", "--", "true")
    assert (answer.code, "registration secret" in answer.err) == (2, True)
    answer = desk.sender.run("submit", "--inbox", "nowhere.yaml", "--", "true")
    assert (answer.code, "nowhere.yaml" in answer.err) == (2, True)
    assert desk.sender.run("wait", "7").code == 2
    desk.make_inbox()
    answer = desk.sender.run("status", "rb-aaaaaaaaaaaaaaaa")
    assert (answer.code, "jobs --sent" in answer.err) == (1, True)
    assert desk.sender.run("inbox", "create", "alice", secret=desk.site.scheduler.secret).code == 2


def test_an_inbox_is_made_on_the_way_where_the_secret_is_there(desk: Desk) -> None:
    """--inbox auto: once, and then it is the sender's."""
    secret = desk.site.scheduler.secret
    first = desk.sender.run("submit", "--inbox", "auto", "-o", "json", "--", "true", secret=secret)
    assert "Made the inbox inbox-" in first.err
    again = desk.sender.run("submit", "--inbox", "auto", "-o", "json", "--", "true")
    assert (again.code, again.err) == (0, "")
    desk.site.program.until_idle()
    handles = [first.value["handle"], again.value["handle"]]
    assert desk.sender.run("wait", *handles).code == 0


def test_a_cluster_that_does_not_report_back_is_called_so(desk: Desk) -> None:
    """After a time, with what is known; nobody waits for ever."""
    desk.make_inbox()
    handle = desk.submit("true")
    answer = desk.sender.run("wait", handle, reply_within=0.1)
    assert answer.code == 1
    assert "cluster blue does not report back" in answer.err
    (job,) = json.loads(desk.sender.run("status", handle, "-o", "json", reply_within=0.1).out)
    assert job["state"] == "silent"
    assert "does not report back" in job["reason"]
    assert desk.sender.run("wait", handle, "--timeout", "0.2").code == 124
    with desk.site.program.background("start"):
        eventually(
            lambda: desk.sender.show("status", handle)[0]["state"] == "completed", "it is told"
        )


def test_rows_that_wait_for_a_sender_are_bounded(desk: Desk) -> None:
    """The last states are told when they have taken what was there, which is said by itself."""
    desk.make_inbox()
    with desk.site.program.background("start"):
        handle = desk.submit("sh", "-c", "while [ ! -e gate ]; do sleep 0.1; done")
        eventually(
            lambda: desk.sender.show("status", handle)[0]["state"] == "running", "the job runs"
        )
        with closing(sqlite3.connect(desk.site.program.state_dir / "ledger.sqlite")) as db:
            ((inbox, verify),) = db.execute("SELECT inbox, verify FROM handle").fetchall()
            row = (inbox, verify, 1, 1, time.time())
            some = [row] * (rows.MAX_UNREAD - 3)
            db.executemany(
                "INSERT INTO unread (inbox, verify, turn, size, at) VALUES (?, ?, ?, ?, ?)", some
            )
            db.commit()
        others = [desk.submit("true") for _ in range(3)]
        eventually(
            lambda: [row.state for row in desk.site.program.rows()].count(JobState.COMPLETED) == 3,
            "the others are over",
        )
        (desk.site.program.folder / "gate").touch()
        desk.site.program.await_end(4)
        assert desk.in_inbox() <= 3
        assert desk.sender.run("wait", handle, *others).code == 0


@pytest.mark.full
def test_a_sender_fetches_the_results_of_a_job(any_desk: Desk) -> None:
    """As they are there, and nothing else; also when the agent dies on the way."""
    any_desk.make_inbox()
    work = any_desk.site.program.folder / "work"
    work.mkdir()
    (work / "secret").write_text("secret")
    script = "mkdir out; echo one > out/a.csv; : > out/empty; ln -s ../secret out/link"
    script += "; head -c 20000001 /dev/urandom > out/big"
    results = ("--cwd", str(work), "--results", "out/**")
    here = any_desk.sender.folder / "here"
    with any_desk.site.program.background("start"):
        handle = any_desk.submit("sh", "-c", script, options=results)
        assert any_desk.sender.run("wait", handle).code == 0
        answer = any_desk.sender.run("fetch", handle, "*.csv", "-o", "json")
        assert answer.code == 0, answer
        assert [file["name"] for file in answer.value] == ["out/a.csv"]
        assert (any_desk.sender.folder / handle / "out" / "a.csv").read_text() == "one\n"
        low = any_desk.sender.run("fetch", handle, "--to", "low", results_max="1M")
        assert (low.code, "out/big is left out: RAINBOW_RESULTS_MAX here" in low.err) == (1, True)
        assert not (any_desk.sender.folder / "low" / "out" / "big").exists()
        with any_desk.sender.background(
            "fetch", handle, "--to", str(here), reply_within=300
        ) as fetch:
            eventually(
                lambda: any(path.stat().st_size > 1e6 for path in here.glob("out/.fetch-*")),
                "it comes",
            )
            fetch.kill()
        assert not (here / "out" / "big").exists()
    with any_desk.sender.background("fetch", handle, "--to", str(here), reply_within=300) as fetch:
        with any_desk.site.program.background("start") as agent:
            fetch.says("out/a.csv: is here already")
            agent.kill()
        with any_desk.site.program.background("start"):
            assert fetch.wait() == 0, fetch.log()
    names = {path.name for path in (here / "out").iterdir()}
    assert names == {"a.csv", "big", "empty"}
    for name in names:
        assert (here / "out" / name).read_bytes() == (work / "out" / name).read_bytes()


def test_results_are_bounded_by_the_operator(desk: Desk) -> None:
    """And only what the jobspec names is one."""
    desk.make_inbox()
    work = desk.site.program.folder / "work"
    work.mkdir()
    results = ("--cwd", str(work), "--results", "*.txt")
    with desk.site.program.background("start", results_max="1K"):
        handle = desk.submit("sh", "-c", "head -c 2000 /dev/zero > a.txt; : > b", options=results)
        other = desk.submit("true")
        assert desk.sender.run("wait", handle, other).code == 0
        answer = desk.sender.run("fetch", handle)
        assert (answer.code, "a.txt is left out: RAINBOW_RESULTS_MAX of the" in answer.err) == (
            *(1, True),
        ), answer
        answer = desk.sender.run("fetch", other)
        assert (answer.code, "names no files as results" in answer.err) == (1, True)
    assert desk.sender.run("submit", "--results", "a", "--", "true").code == 2


def test_a_sender_sees_how_each_cluster_is(desk: Desk) -> None:
    """By the word of its agent, or its last one; who has never sent a job there hears nothing."""
    desk.make_inbox()
    desk.know("blue", "green")
    desk.submit("true")
    with desk.site.program.background("start"):
        eventually(
            lambda: desk.site.program.show("status")["resources"]["cores_total"], "it is known"
        )
        answer = desk.sender.run("fleet", "-o", "json", "--timeout", "60")
        blue, green = answer.value
        assert answer.code == 1
        assert (blue["cluster"], blue["answered"], blue["problem"]) == ("blue", True, None)
        there = desk.site.program.show("status")
        assert blue["version"] == there["daemon"]["version"]
        assert blue["cores_total"] == there["resources"]["cores_total"]
        assert (green["state"], green["problem"]) == ("unknown", "no job was sent to it from here")
        assert desk.site.program.run("drain", "--reason", "new disks").code == 0
        desk.know("blue")
        shown = desk.sender.run("fleet", "--timeout", "60")
        assert (shown.code, "drained: new disks" in shown.out) == (0, True), shown
    (last,) = desk.sender.show("fleet", "--timeout", "0.5")
    assert (last["answered"], last["problem"]) == (False, "no answer within 0.5 s")
    assert last["drained"]["reason"] == "new disks"


def test_a_sender_has_a_page_of_all_clusters(desk: Desk) -> None:
    """It reads the inbox by itself; for this machine alone, and until it is stopped."""
    answer = desk.sender.run("inbox", "--http", "127.0.0.1:0")
    assert (answer.code, "there is no inbox" in answer.err) == (2, True)
    desk.make_inbox()
    desk.know("blue")
    handle = desk.submit("sh", "-c", "exit 3")
    with (
        desk.site.program.background("start"),
        desk.sender.background("inbox", "--http", "127.0.0.1:0") as page,
    ):
        page.says(" shows the jobs")
        address = page.log().split(" shows", maxsplit=1)[0].split()[-1]

        def jobs() -> list[dict[str, object]]:
            with urllib.request.urlopen(f"{address}api/jobs") as got:
                found: list[dict[str, object]] = json.load(got)
                return found

        eventually(lambda: [job["state"] for job in jobs()] == ["failed"], "it is over")
        with urllib.request.urlopen(address) as got:
            assert handle in got.read().decode()
        assert page.stop() == 0
    for wrong in (("--http", "x"), ("--http", "127.0.0.1:1", "create", "x")):
        assert desk.sender.run("inbox", *wrong).code == 2


def test_a_job_that_was_not_sent_has_no_handle(desk: Desk) -> None:
    """No cluster fits it, so there is nothing to ask about."""
    desk.make_inbox()
    assert desk.sender.run("submit", "--nodes", "9999", "--", "true").code == 1
    assert desk.sender.show("jobs", "--sent") == []


def test_a_sender_cancels_a_job_and_nobody_else_does(any_desk: Desk) -> None:
    """Signed with their key; another sender with a token, and the same inbox's file, cannot."""
    any_desk.make_inbox()
    with any_desk.site.program.background("start"):
        handle = any_desk.submit("sleep", "600")
        eventually(
            lambda: any_desk.sender.show("status", handle)[0]["state"] == "running", "the job runs"
        )
        key = next(any_desk.sender.folder.rglob("sender.key"))
        own = key.read_text()
        key.write_text("ab" * 32)
        answer = any_desk.sender.run("cancel", handle, "--timeout", "1")
        assert (answer.code, "is still running" in answer.out) == (124, True)
        key.write_text(own)
        answer = any_desk.sender.run("cancel", handle, "--reason", "wrong input")
        assert (answer.code, answer.out) == (0, f"job {handle} (sleep) is canceled\n"), answer
        (job,) = any_desk.sender.show("status", handle)
        assert job["reason"] == f"canceled by the sender of {handle}: wrong input"
        assert any_desk.sender.run("cancel", handle).code == 1
    assert any_desk.sender.run("cancel", handle, "7").code == 2


def test_a_job_is_canceled_before_its_cluster_takes_it(desk: Desk) -> None:
    """The request waits in rainbow behind the job, and in the ledger of a drained cluster."""
    desk.make_inbox()
    handle = desk.submit("sleep", "600")
    assert desk.site.program.run("drain", "--offline").code == 0
    answer = desk.sender.run("cancel", handle, "--no-wait")
    assert (answer.code, "was not reported yet" in answer.out) == (124, True)
    with desk.site.program.background("start"):
        eventually(lambda: desk.asked() == 0, "the request is taken")
        assert len(desk.site.fleet.waiting()) == 1, "its job is not"
        assert desk.site.program.run("resume").code == 0
        assert desk.sender.run("wait", handle).code == 1
    (job,) = desk.sender.show("status", handle)
    assert job["state"] == "canceled"


def test_a_sender_reads_what_their_job_wrote(any_desk: Desk) -> None:
    """As on the cluster, also while it is written; rainbow's database does not have it."""
    any_desk.make_inbox()
    gate = any_desk.site.program.folder / "gate"
    script = "echo secret-words; echo oh >&2; while [ ! -e $GATE ]; do sleep 0.1; done; echo end"
    with any_desk.site.program.background("start"):
        handle = any_desk.submit("sh", "-c", script.replace("$GATE", str(gate)))
        eventually(
            lambda: any_desk.sender.show("status", handle)[0]["state"] == "running", "the job runs"
        )
        (job,) = any_desk.sender.show("status", handle)
        with any_desk.sender.background("logs", handle, "--follow") as follower:
            follower.says("secret-words")
            gate.touch()
            assert follower.wait() == 0
            assert follower.log().splitlines()[-1] == "end"
        assert any_desk.sender.run("wait", handle).code == 0
        there = any_desk.site.program.run("logs", str(job["id"]))
        here = any_desk.sender.run("logs", handle)
        assert (here.code, here.out, here.err) == (0, there.out, there.err)
        assert here.out == "secret-words\nend\n"
        db = any_desk.site.scheduler.db
        raw = b"".join(path.read_bytes() for path in db.parent.glob(f"{db.name}*"))
        for encoded in (b"secret-words\nend", base64.b64encode(b"secret-words\n")):
            assert encoded not in raw
        story = any_desk.sender.show("explain", handle)
        same = any_desk.site.program.show("explain", str(job["id"]))
        assert story["summary"] == same["summary"]
        assert story["job"] == same["job"]
        failed = any_desk.submit("sh", "-c", "exit 5")
        assert any_desk.sender.run("wait", failed).code == 5
        assert f"rainbow-agent logs {failed}" in any_desk.sender.run("explain", failed).out
        assert {e["event"] for e in story["timeline"]} == {e["event"] for e in same["timeline"]}
    answer = any_desk.sender.run("logs", handle, reply_within=0.5)
    assert (answer.code, "has not answered" in answer.err) == (1, True)
    assert any_desk.sender.run("explain", handle, "7").code == 2
