"""The example in each verb's help, run as it stands there, in a shell, over one cluster."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import click
import pytest

from rainbow_agent.cli import VERBS, main
from support.common import eventually
from support.fleet import jobspec, task
from support.program import Program
from support.site import Site, running_site

#: They run until they are stopped.
SERVERS = ("start", "scheduler")
#: They need no daemon.
BEFORE = (
    "version",
    "config",
    "completion",
    "validate",
    "register",
    "manifest",
    "inbox",
    "demo",
    "assets",
)
#: What is true of a cluster that the example's reader has, and of this one not.
NOT_HERE = {
    "7": "{job}",
    "rainbow:8080": "{host}",
    "127.0.0.1:50051": "127.0.0.1:0",
    "rb-7k3fq2mz5x6yacde": "{job}",
}
JOBSPEC = """\
version: 1
resources: {one: {type: core, count: 1}}
tasks:
- {name: build, command: [echo, built], resources: one}
- {name: ior, command: [echo, measured], depends_on: [build], resources: one}
"""


def example_of(verb: str) -> str:
    """The line that a verb's help shows."""
    with click.Context(main, **main.context_settings) as ctx:
        command = main.get_command(ctx, verb)
        assert command is not None
    found = re.search(r"Example: (.*)$", " ".join(str(command.help).split()))
    assert found, f"`rainbow-agent {verb} --help` shows no example"
    return found[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster with the files that examples name, and a stand-in for `flux start`."""
    folder = tmp_path_factory.mktemp("examples")
    tools = folder / "tools"
    (folder / "jobspecs").mkdir()
    tools.mkdir()
    (folder / "examples").mkdir()
    for name in ("pipeline", "requirements"):
        (folder / "examples" / f"{name}.yaml").write_text(JOBSPEC)
    (folder / "jobspecs" / "one.yaml").write_text(JOBSPEC)
    flux = tools / "flux"
    flux.write_text('#!/bin/sh\n[ "$1" = start ] || exit 1\nshift\nexec "$@"\n')
    flux.chmod(0o700)
    with running_site(folder) as site:
        path = f"{tools}:{site.program.environ['PATH']}"
        site.program.environ["PATH"] = path
        yield site


def line_of(site: Site, verb: str, job: int | str = 0) -> str:
    """The example, about what is here."""
    line = example_of(verb)
    for there, here in NOT_HERE.items():
        value = here.format(job=job, host=site.scheduler.host)
        line = re.sub(rf"(?<![\w.]){re.escape(there)}(?!\w)", value, line)
    return line


def run(program: Program, line: str) -> subprocess.CompletedProcess[str]:
    """A line in a shell; it ends by itself."""
    shell = shutil.which("sh")
    assert shell
    return subprocess.run(
        [shell, "-c", line],
        env=program.environ,
        cwd=program.folder,
        capture_output=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
        timeout=90,
        check=False,
    )


@contextmanager
def served(program: Program, line: str, says: str) -> Iterator[None]:
    """A line of a server, until the block ends; then SIGTERM, which it takes well."""
    log = program.folder / "served.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {line}"],
            env=program.environ,
            cwd=program.folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        eventually(lambda: says in log.read_text() or process.poll() is not None, line, seconds=60)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        code = process.wait(300)
    assert code == 0, log.read_text()


@pytest.mark.full
def test_every_example_does_what_it_says(site: Site) -> None:
    """All verbs in the order of a day: each example ends with 0, or serves until it is stopped."""
    program, ran = site.program, set(SERVERS)

    def good(verb: str, job: int | str = 0) -> str:
        answer = run(program, line_of(site, verb, job))
        assert answer.returncode == 0, (line_of(site, verb, job), answer)
        ran.add(verb)
        return answer.stdout

    for verb in BEFORE:
        good(verb)
    with served(program, line_of(site, "scheduler"), "listening"):
        pass
    with served(program, line_of(site, "start"), "Caught up"):
        eventually(lambda: run(program, line_of(site, "status")).returncode == 0, "it runs")
        good("status")
        for verb in ("submit", "satisfy", "run", "receive", "log-level", "doctor"):
            good(verb)
        site.fleet.send(jobspec(task(["echo", "x"], "build"), task(["sleep", "600"], "long")))
        eventually(
            lambda: any("build" in {t.key.task for t in row.tasks} for row in program.rows()),
            "the job is there",
        )
        job = max(row.key.id for row in program.rows())
        eventually(lambda: '"build"' in good("jobs"), "the job runs")
        assert "received" in good("explain", job)
        assert "wrong input" not in good("explain", job)
        good("cancel", job)
        program.await_end(1)  # and all others; messages to the inbox have ids, too
        assert "x" in good("logs", job)
        assert "wrong input" in good("explain", job)
        script = "sh -c 'mkdir -p out; echo 1 > out/a.csv'"
        how = f"--cwd {program.folder} --results 'out/*'"
        sent = run(program, f"rainbow-agent submit {how} -o json -- {script}")
        handle = json.loads(sent.stdout)["handle"]
        good("wait", handle)
        good("fetch", handle)
        good("fleet")
        assert (program.folder / "results" / "out" / "a.csv").read_text() == "1\n"
        good("history")
        good("drain")
        good("resume")
    good("deregister")
    assert ran == set(VERBS)
