"""A pod takes the place of another that is still stopping: no job is taken by the one that goes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from rainbow_agent.core.states import JobState
from rainbow_agent.storage import drain_file, runtime_file
from support.common import eventually
from support.fleet import jobspec, task
from support.pod_scripts import PodScripts, running_pod
from support.site import Site, running_site

LATER: Final = ["one", "two", "three", "four"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A registered cluster whose pod is not there yet."""
    with running_site(tmp_path) as site:
        assert site.program.run("register").code == 0
        yield site


def gated(site: Site) -> dict[str, Any]:
    """A job that ends once its gate is there."""
    script = 'while [ ! -e "$1" ]; do sleep 0.05; done; echo here >> "$2"'
    words = ["sh", "-c", script, "sh", f"{site.program.folder}/gate", str(site.marks)]
    return jobspec(task(words), name="here")


def runs(site: Site, name: str) -> bool:
    return any(r.name == name and r.state is JobState.RUNNING for r in site.program.rows())


def drains(site: Site) -> Callable[[], bool]:
    """For eventually(): the daemon that has the lock takes no jobs."""
    return lambda: bool(runtime_file.read_runtime(site.program.state_dir).get("draining"))


def send(site: Site) -> None:
    """Jobs that have to wait in rainbow for the next pod."""
    for name in LATER:
        site.fleet.send(jobspec(task(site.writes(name)), name=name))


def waits(new: PodScripts) -> None:
    """The new pod's agent runs, and waits for the old one's."""
    eventually(lambda: new.did("waiting_for_lock"), "it says whose lock it waits for")


class Moment:
    """When the new pod starts: a moment of the old one's stop. Each leaves both running."""

    def __init__(self, site: Site, old: PodScripts) -> None:
        self.site = site
        self.old = old

    def before_the_stop(self) -> None:
        """Kubernetes has made the new pod, and not asked the old one to stop yet."""

    def while_it_drains(self) -> None:
        """The hook runs, and waits for a job."""
        self.old.begin_stop()
        eventually(drains(self.site), "it drains")

    def when_it_has_drained(self) -> None:
        """The jobs are over, and SIGTERM has not come."""
        (self.site.program.folder / "gate").touch()
        words = ["drain", "--until-stopped", "--wait", "--reason", "the pod is being stopped"]
        assert self.site.program.run(*words).code == 0


MOMENTS = [Moment.before_the_stop, Moment.while_it_drains, Moment.when_it_has_drained]


@pytest.mark.full
@pytest.mark.parametrize("moment", MOMENTS)
def test_what_waits_in_rainbow_waits_for_the_next_pod(
    site: Site, moment: Callable[[Moment], None]
) -> None:
    """The new pod's start changes nothing for the old one; each job runs once, in the new."""
    with running_pod(site.program, "old") as old:
        site.fleet.send(gated(site))
        eventually(lambda: runs(site, "here"), "the job runs")
        moment(Moment(site, old))
        with running_pod(site.program, "new") as new:
            waits(new)
            stop = old.begin_stop()
            eventually(drains(site), "the old one drains")
            send(site)
            assert len(site.fleet.waiting()) == len(LATER)
            (site.program.folder / "gate").touch()
            assert stop.wait(200) == 0
            assert old.wait() == 0, old.log()
            assert old.taken() == 1
            site.program.await_end(1 + len(LATER))
            assert new.taken() == len(LATER)
            assert sorted(site.written()) == sorted(["here", *LATER])
            assert site.program.show("status")["draining"] is None
            assert not new.did("stopped")
            assert new.stop() == 0


@pytest.mark.full
@pytest.mark.parametrize("all_of_it", [False, True], ids=["agent", "pod"])
def test_a_kill_while_it_drains(site: Site, all_of_it: bool) -> None:
    """The agent does not come back in the pod that stops; the next one takes what waits."""
    with running_pod(site.program, "old") as old:
        site.fleet.send(gated(site))
        eventually(lambda: runs(site, "here"), "the job runs")
        stop = old.begin_stop()
        eventually(drains(site), "it drains")
        send(site)
        with running_pod(site.program, "new") as new:
            waits(new)
            old.kill() if all_of_it else old.kill_agent()
            stop.wait(200)
            assert not old.alive() or old.wait()
            assert old.taken() == 1
            (site.program.folder / "gate").touch()
            site.program.await_end(1 + len(LATER))
            assert new.taken() == len(LATER)
            assert sorted(site.written()) == sorted(["here", *LATER])


@pytest.mark.full
def test_an_operators_drain_survives_pods(site: Site) -> None:
    """Given before the stop or during it, it holds in the next pod, until `resume`."""
    program = site.program
    with running_pod(program, "old") as old:
        eventually(lambda: old.did("starting"), "it starts")
        program.run("drain", "--until-stopped", "--reason", "the pod is being stopped")
        said = program.run("drain", "--reason", "a new kernel")
        assert "until `rainbow-agent resume`" in said.out
        send(site)
        with running_pod(program, "new") as new:
            waits(new)
            assert old.stop() == 0
            eventually(lambda: new.did("draining"), "it takes no jobs")
            assert program.show("status")["draining"]["reason"] == "a new kernel"
            assert len(site.fleet.waiting()) == len(LATER)
            assert program.run("resume").code == 0
            program.await_end(len(LATER))
            assert (old.taken(), new.taken()) == (0, len(LATER))


@pytest.mark.full
def test_a_stop_ends_the_wait_for_the_lock(site: Site) -> None:
    """The pod that waits is deleted, too: it ends at once, with 0, and changes nothing."""
    with running_pod(site.program, "old") as old:
        eventually(lambda: old.did("starting"), "it starts")
        with running_pod(site.program, "new") as new:
            waits(new)
            (line,) = [each for each in new.actions() if each.get("action") == "waiting_for_lock"]
            for words in (f"on {os.uname().nodename}", "last heartbeat", "since", "0 s of 120 s"):
                assert words in str(line["message"])
            assert site.program.show("status")["daemon"]["running"]
            new.terminate()
            assert new.wait() == 0
        assert old.alive()
        assert drain_file.read_drain(site.program.state_dir) is None


def test_a_daemon_that_waited_in_vain(site: Site) -> None:
    """It exits with 42, with whose folder it is and how long it waited."""
    with site.program.background("start") as first:
        first.says("Caught up")
        with site.program.background("start", lock_wait=0.1) as second:
            assert second.wait() == 42
            assert f"pid {first.pid} on" in second.log()
            assert "also after 0.1 s" in second.log()
