"""Secrets: where they never are, and what happens when they are replaced."""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest
import yaml

from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from support.common import eventually
from support.fleet import jobspec, task
from support.http import Visitor
from support.program import installed
from support.secrets import in_processes
from support.servers import SchedulerKind, make_graph
from support.site import Site, missing_parts, running_site
from support.tls import Pki


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
    """A cluster that knows every kind of secret; its agent does not run."""
    kind, flux = request.param
    if missing := missing_parts(kind, flux=flux):
        pytest.skip(missing)
    token = f"marked-token-{secrets.token_hex(8)}"
    environ = {"SOME_TOOL": f"prefix-{token}-suffix"}
    with running_site(tmp_path, kind, flux=flux, environ=environ, token=token) as site:
        assert site.program.run("register").code == 0
        yield site


def test_no_process_and_no_jobspec_shows_a_secret(site: Site) -> None:
    """Not in arguments, not in a job's environment, not in what Flux keeps of the job."""
    program = site.program
    assert len(program.hidden()) >= 3
    with program.background("start", log_level="debug") as agent:
        sleep = ["sleep", f"600.{os.getpid()}"]  # unique to this process
        site.fleet.send(jobspec(task(sleep), name="long"))
        eventually(
            lambda: [row.state for row in program.rows()] == [JobState.RUNNING], "the job runs"
        )

        def sleepers() -> list[psutil.Process]:
            return [p for p in psutil.process_iter(["cmdline"]) if p.info["cmdline"] == sleep]

        eventually(sleepers, "its process is there")  # Flux says that it started a moment before
        assert not any(p.pid == agent.pid for sleeper in sleepers() for p in sleeper.parents())
        known = {site.scheduler.pid, agent.pid}
        assert list(in_processes(program.hidden(), known)) == []
        if uri := program.environ.get("FLUX_URI"):
            (row,) = program.rows()
            kept = subprocess.run(
                ["flux", "job", "info", str(row.tasks[0].flux_id), "jobspec"],
                env={**os.environ, "FLUX_URI": uri},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            assert "sleep" in kept
            assert not any(secret in kept for secret in program.hidden())
        assert agent.stop() == 0


def test_nothing_that_is_shown_has_a_secret(site: Site) -> None:
    """Not what verbs print (each call of theirs is searched), not what the HTTP side answers."""
    program = site.program
    with program.background("start", http="127.0.0.1:0") as agent:
        site.fleet.send(jobspec(task(["true"]), name="one"), "version: 1\ntasks: 1\n")
        program.await_end(2)
        for words in (
            ("status",),
            ("jobs",),
            ("jobs", "1"),
            ("explain", "1"),
            ("explain", "2"),
            ("receive",),
            ("config", "show"),
            ("config", "show", "-o", "json"),
            ("doctor",),
            ("doctor", "-o", "json"),
        ):
            answer = program.run(*words)
            assert answer.out, (words, answer)
        visitor = Visitor(program)
        for path in ("/", "/livez", "/readyz", "/metrics", "/status.json", "/api/jobs"):
            page = visitor.get(path).text
            assert page, path
            assert not any(secret in page for secret in program.hidden()), path
        assert agent.stop() == 0


@pytest.mark.full
def test_nobody_can_look_into_the_agent(tmp_path: Path) -> None:
    """The daemon's own memory and environment are for root: jobs run as the same user."""
    with running_site(tmp_path) as site, site.program.background("start") as agent:
        agent.says("Caught up")
        facts = Path(f"/proc/{agent.pid}/environ").stat()
        assert facts.st_uid == 0, "proc(5): of a process that is not dumpable it is root's"
        assert agent.stop() == 0


def test_all_files_are_for_their_owner(site: Site) -> None:
    """The state folder is 0700; every file in it that the agent wrote is 0600."""
    program = site.program
    with program.background("start") as agent:
        site.fleet.send(jobspec(task(["true"]), name="one"))
        program.await_end(1)
        program.run("drain")
        assert agent.stop() == 0
    assert stat.S_IMODE(program.state_dir.stat().st_mode) == 0o700
    loose = [
        str(path)
        for path in program.state_dir.rglob("*")
        if path.is_file() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    assert loose == []


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    """The agent does not start, says why, and what to do."""
    with running_site(tmp_path) as site:
        site.program.state_dir.mkdir()
        site.program.state_dir.chmod(0o777)
        with site.program.background("start") as agent:
            assert agent.wait() == 2
        assert "can be written by others (mode 0777)" in agent.log()
        assert "chmod" in agent.log()


@pytest.mark.full
def test_the_registration_secret_is_rotated(tmp_path: Path) -> None:
    """Rainbow comes back without its database and with another secret, which is in the file."""
    with running_site(tmp_path) as site:
        file = tmp_path / "secret-file"
        file.write_text(site.scheduler.secret + "\n")
        with site.program.background("start", secret="", secret_file=file) as agent:
            agent.says("Registered cluster blue")
            eventually(site.program.config.exists, "the cluster's secret is stored")
            assert site.scheduler.secret not in site.program.config.read_text()
            site.scheduler.secret = "marked-another-registration-secret"
            file.write_text("marked-another-registration-secret\n")
            site.scheduler.restart(keep_db=False)
            agent.says("The registration secret changed")
            eventually(
                lambda: agent.log().count("Registered cluster blue") == 2, "it registered again"
            )
            site.fleet.send(jobspec(task(site.writes("ran")), name="one"))
            site.program.await_end(1)
            assert agent.stop() == 0
        assert "marked-another" not in agent.log()
        assert site.written() == ["ran"]


@pytest.mark.full
def test_the_clusters_secret_is_replaced(tmp_path: Path) -> None:
    """Somebody registered the cluster anew and wrote its secret into the file: it is used."""
    with running_site(tmp_path) as site:
        config = site.program.config
        with site.program.background("start") as agent:
            agent.says("Registered cluster blue")
            eventually(config.exists, "the secret is stored")
            process = psutil.Process(agent.pid)
            process.suspend()  # or it would register by itself
            site.scheduler.restart(keep_db=False)
            with closing(RainbowScheduler(site.scheduler.host)) as operator:
                given = operator.register("blue", site.scheduler.secret, make_graph(1, 4))
            document = yaml.safe_load(config.read_text())
            document["cluster"]["secret"] = given.secret
            document["clusters"] = [{"name": "blue", "token": given.token}]
            config.write_text(yaml.safe_dump(document))
            process.resume()
            agent.says("was replaced; the new one is used")
            site.fleet.send(jobspec(task(site.writes("ran")), name="one"))
            site.program.await_end(1)
            assert agent.stop() == 0
        assert site.written() == ["ran"]


def test_a_key_is_never_shown(tmp_path: Path) -> None:
    """A damaged key is named, and nothing of it is in the error."""
    pki = Pki.make(tmp_path)
    lines = pki.client[1].read_text().splitlines()
    pki.client[1].write_text("\n".join([lines[0], lines[1], "damaged", lines[-1]]))
    with installed(tmp_path, workload="local", **pki.settings()) as program:
        answer = program.run("start")
        assert answer.code == 2
        assert "RAINBOW_TLS_KEY" in answer.err
        assert lines[1] not in answer.err
