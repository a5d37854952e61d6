"""Looking at a cluster from a shell: status, jobs, explain, over the installed program."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from support.common import eventually
from support.fleet import jobspec, task
from support.program import PROGRAM
from support.site import Site, running_site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("looking")) as site:
        registered = site.program.run("register")
        if registered.code:
            raise AssertionError(f"it cannot register: {registered}")
        yield site


def state(site: Site) -> str:
    return str(site.program.show("status")["state"])


@pytest.mark.full
def test_the_word_follows_the_daemon(site: Site, tmp_path: Path) -> None:
    """stopped, idle, working, degraded while it is halted, draining, and stopped again."""
    assert state(site) == "stopped"
    gate = tmp_path / "gate"
    wait = ["sh", "-c", f"until test -e {gate}; do sleep 0.05; done"]
    with site.program.background("start") as agent:
        eventually(lambda: state(site) == "idle", "it is idle", seconds=30)
        site.fleet.send(jobspec(task(wait, "wait"), name="waiting"))
        eventually(lambda: state(site) == "working", "it works", seconds=30)
        agent.signal(signal.SIGSTOP)
        eventually(lambda: psutil.Process(agent.pid).status() == "stopped", "it is halted")
        halted = site.program.show("status")
        agent.signal(signal.SIGCONT)
        assert halted["state"] == "degraded"
        assert [reason["name"] for reason in halted["reasons"]] == ["process-stopped"]
        gate.touch()
        site.program.await_end(1)
        eventually(lambda: state(site) == "idle", "it is idle again", seconds=30)
        assert site.program.run("drain", "--reason", "a test").code == 0
        assert state(site) == "draining"
        assert site.program.run("resume").code == 0
        agent.stop()
    assert state(site) == "stopped"


def test_a_watch_that_is_no_terminal_is_plain(site: Site) -> None:
    """Text once per change, JSON once a look; a signal ends it with 0."""
    for arguments in ([], ["-o", "json"]):
        with subprocess.Popen(
            [PROGRAM, "status", "--watch", "--every", "0.1", *arguments],
            env=site.program.environ,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            first = process.stdout.readline()
            process.terminate()
            rest = process.stdout.read()
        assert process.returncode == 0
        assert "\x1b" not in first + rest
        if arguments:
            assert json.loads(first)["status"]["cluster"] == "blue"
        else:
            assert first.split()[0] == "stopped"


def test_explain_has_the_whole_story(site: Site) -> None:
    """Of a job that failed: the cause, what to do, and what was reported when."""
    site.fleet.send(
        jobspec(
            task(["sh", "-c", "exit 127"], "first"),
            task(["true"], "second", depends_on=["first"]),
            name="failing",
        )
    )
    site.program.until_idle()
    (row,) = [row for row in site.program.rows() if row.name == "failing"]
    view = site.program.show("explain", str(row.key.id))
    assert (view["task"], view["cause"]) == ("first", "exit code 127")
    assert "not found" in view["advice"]
    told = [line["text"] for line in view["timeline"] if line["source"] == "report"]
    assert told[-1] == "rainbow accepted the report of `failed`"
    text = site.program.run("explain", str(row.key.id)).out.splitlines()
    assert text[1] == "cause: task first: exit code 127"
    assert any(line.split()[1:2] == ["workload"] for line in text)
    assert not any(line.split()[1:2] == ["flux"] for line in text), "there is none here"
