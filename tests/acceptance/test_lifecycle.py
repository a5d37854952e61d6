"""Starting and stopping: signals, one agent a state folder, credentials that do not fit."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from support.common import eventually
from support.fleet import jobspec, task
from support.program import installed
from support.servers import SchedulerKind, make_graph, running_scheduler
from support.site import Site, missing_parts, running_site


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, id="local"),
        pytest.param(True, id="flux", marks=pytest.mark.flux),
    ],
)
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """A registered cluster whose agent does not run, over each workload manager."""
    if missing := missing_parts(SchedulerKind.EMBEDDED, flux=request.param):
        pytest.skip(missing)
    with running_site(tmp_path_factory.mktemp("site"), flux=request.param) as site:
        assert site.program.run("register").code == 0
        yield site


def gated(site: Site, name: str) -> dict[str, Any]:
    """A job that ends once `open_gate()` was called."""
    script = 'while [ ! -e "$1" ]; do sleep 0.05; done; echo "$2" >> "$3"'
    words = ["sh", "-c", script, "sh", str(gate(site, name)), name, str(site.marks)]
    return jobspec(task(words), name=name)


def gate(site: Site, name: str) -> Path:
    return site.program.folder / f"{name}.gate"


def test_jobs_go_on_while_the_agent_is_down(site: Site) -> None:
    """SIGTERM ends the agent with 0, its jobs go on, and the next start learns how they ended."""
    with site.program.background("start") as agent:
        site.fleet.send(gated(site, "long"))
        eventually(
            lambda: any(row.state is JobState.RUNNING for row in site.program.rows()),
            "the job runs",
        )
        assert agent.stop() == 0, agent.log()
    (job,) = site.program.show("jobs")
    assert job["state"] == "running"
    gate(site, "long").touch()
    site.program.until_idle()
    (job,) = site.program.show("jobs")
    assert job["state"] == "completed"
    assert job["tasks"][0]["exit_code"] == 0
    assert site.written() == ["long"]


@pytest.mark.full
def test_a_second_agent_says_who_is_there(site: Site) -> None:
    """A state folder belongs to one agent: the second names its pid and ends with 42."""
    with site.program.background("start") as first:
        first.says("Caught up")
        for verb in ("start", "register", "deregister"):
            second = site.program.run(verb)
            assert second.code == 42, (verb, second)
            assert f"pid {first.pid}" in second.err
        assert first.alive()
        assert first.stop() == 0


def test_a_verb_after_an_orderly_end_is_not_a_kill(tmp_path: Path) -> None:
    """`status` has how the daemon ended, with its settings; the next start warns of nothing."""
    with running_site(tmp_path) as site:
        site.program.until_idle()
        before = site.program.show("status")
        for verb in ("deregister", "register"):
            assert site.program.run(verb).code == 0
            after = site.program.run("status", "-o", "json", cluster="xyz", host="9.9.9.9:9").value
            assert after["daemon"]["ended"] == before["daemon"]["ended"] is not None
            assert after["cluster"] == before["cluster"]
            assert after["rainbow"]["host"] == before["rainbow"]["host"]
        with site.program.background("start", "--until-idle") as agent:
            assert agent.wait() == 0
        assert "without a word" not in agent.log()


def test_a_second_signal_leaves_at_once(site: Site) -> None:
    """While a stop waits for a rainbow that does not answer, another SIGTERM ends the agent."""
    rainbow = psutil.Process(site.scheduler.pid)
    with site.program.background("start", timeout=60) as agent:
        agent.says("Caught up")
        rainbow.suspend()
        try:

            def signaled_again() -> bool:
                agent.signal(signal.SIGTERM)
                return not agent.alive()

            eventually(signaled_again, "the agent left", seconds=30)
        finally:
            rainbow.resume()
    assert agent.wait() == 128 + signal.SIGTERM


def test_rainbow_comes_up_later(tmp_path: Path) -> None:
    """An agent that finds no rainbow says so in `status`, and registers once it is there."""
    with running_site(tmp_path) as site:
        site.scheduler.stop()
        with site.program.background("start") as agent:
            agent.says("Starting rainbow-agent")  # there is a state folder to look at
            eventually(
                lambda: site.program.show("status")["rainbow"]["reachable"] is False,
                "status says that rainbow is away",
            )
            assert site.program.show("status")["rainbow"]["problem"]
            site.scheduler.start()
            eventually(
                lambda: site.program.show("status")["rainbow"]["reachable"], "rainbow is reached"
            )
            assert agent.stop() == 0, agent.log()


def test_a_wrong_registration_secret(tmp_path: Path) -> None:
    """Rainbow refuses the secret: 42, where it came from, and not the secret itself."""
    with running_site(tmp_path, secret="not-the-secret") as site:
        with site.program.background("start") as agent:
            assert agent.wait() == 42
        assert "refuses the registration secret" in agent.log()
        assert "environment RAINBOW_SECRET" in agent.log()
        assert "not-the-secret" not in agent.log()


@pytest.mark.full
def test_the_cluster_exists_and_its_secret_is_lost(tmp_path: Path) -> None:
    """Rainbow has the name and no state folder has its secret: 42, and what to do."""
    with running_site(tmp_path) as site:
        assert site.program.run("register").code == 0
        site.program.config.unlink()
        with site.program.background("start") as agent:
            assert agent.wait() == 42
        assert "has a cluster blue already" in agent.log()
        assert "RAINBOW_CLUSTER" in agent.log()
        assert site.program.run("register").code == 42


@pytest.mark.full
def test_deregister_and_come_back(tmp_path: Path) -> None:
    """`deregister` frees the name for another registration; old jobs are still shown."""
    with running_site(tmp_path) as site:
        assert site.program.run("register").code == 0
        site.fleet.send(jobspec(task(["true"])))
        site.program.until_idle()
        left = site.program.run("deregister")
        assert left.code == 0, left
        assert not site.fleet.credentials.cluster_secret
        again = site.program.run("deregister")
        assert again.code == 0, again
        assert "blue is not registered" in again.out
        assert "nothing to do" in again.out
        assert site.program.run("register").code == 0
        site.fleet.send(jobspec(task(["true"])))
        site.program.until_idle()
        first, second = site.program.show("jobs")
        assert first["registration"] != second["registration"]
        assert (first["state"], second["state"]) == ("completed", "completed")


@pytest.mark.full
def test_upstreams_file_is_used(tmp_path: Path) -> None:
    """A rainbow-config.yaml as upstream's register.py leaves it is all that the agent needs."""
    with running_scheduler(SchedulerKind.EMBEDDED, tmp_path) as scheduler:
        with closing(RainbowScheduler(scheduler.host)) as upstream:
            given = upstream.register("green", scheduler.secret, make_graph(1, 4))
        path = tmp_path / "rainbow-config.yaml"
        document = {
            "scheduler": {
                "name": "rainbow",
                "secret": scheduler.secret,
                "algorithms": {"selection": {"name": "random"}, "match": {"name": "match"}},
            },
            "cluster": {"name": "green", "secret": given.secret},
            "graphdatabase": {"name": "memory", "options": {"host": scheduler.host}},
            "clusters": [{"name": "green", "token": given.token}],
        }
        path.write_text(yaml.safe_dump(document))
        with installed(tmp_path, config=path, workload="local") as program:
            answer = program.run("submit", "--", "touch", str(tmp_path / "ran"))
            assert answer.code == 0, answer
            program.until_idle()
            assert (tmp_path / "ran").exists()
            assert program.show("status")["cluster"] == "green"
        assert yaml.safe_load(path.read_text()) == document


@pytest.mark.full
def test_the_file_we_write_is_upstreams(tmp_path: Path) -> None:
    """What we write has the keys that upstream's schema allows, and what its scripts read."""
    with running_site(tmp_path) as site:
        assert site.program.run("register").code == 0
        document = yaml.safe_load(site.program.config.read_text())
        host, secret = site.scheduler.host, site.scheduler.secret
    # python/v1/rainbow/schema.py of converged-computing/rainbow 075ee23: both required, and no
    # keys but these in any of them (`cluster` is not in the schema, upstream's client reads it).
    assert {"scheduler", "graphdatabase"} <= set(document)
    allowed = {
        "scheduler": {"name", "secret", "algorithms", "user"},
        "graphdatabase": {"name", "host", "options"},
    }
    assert all(set(document[key]) <= names for key, names in allowed.items())
    assert all(set(entry) <= {"name", "token"} for entry in document["clusters"])
    assert document["scheduler"]["secret"] == secret
    assert document["scheduler"]["algorithms"]["selection"]["name"] == "random"
    assert document["graphdatabase"] == {"name": "memory", "options": {"host": host}}
    assert document["cluster"]["name"] == "blue"
    assert document["clusters"] == [{"name": "blue", "token": document["clusters"][0]["token"]}]
    assert isinstance(document["cluster"]["secret"], str)
