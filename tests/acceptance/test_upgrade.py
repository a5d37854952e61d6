"""An upgrade over a live ledger with a job in flight, and the way back, which there is not.

The next version is a copy of this one with a script of its own for the ledger.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

import rainbow_agent
from rainbow_agent.core.states import TaskState
from rainbow_agent.storage.ledger_file import newest_version
from support.common import eventually
from support.fleet import jobspec, task
from support.site import Site, running_site

NEXT = "9.9.9"


def next_version(folder: Path) -> str:
    """The program of the next version: a script, to be put before the arguments."""
    package = shutil.copytree(Path(rainbow_agent.__file__).parent, folder / "next/rainbow_agent")
    (package / "__init__.py").write_text(f'"""The next one."""\n\n__version__ = "{NEXT}"\n')
    script = package / f"storage/sql/{newest_version() + 1:04}_next.sql"
    script.write_text("ALTER TABLE job ADD COLUMN later TEXT;\n")
    program = folder / "next/program"
    command = f'PYTHONPATH={folder}/next exec {sys.executable} -m rainbow_agent.cli "$@"'
    program.write_text(f"#!/bin/sh\nshift\n{command}\n")
    program.chmod(0o755)
    return str(program)


def ledger_version(site: Site) -> int:
    """What the ledger's file says."""
    with closing(sqlite3.connect(site.program.state_dir / "ledger.sqlite")) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


@pytest.mark.full
def test_a_job_in_flight_outlives_an_upgrade_and_nothing_a_way_back(tmp_path: Path) -> None:
    """The new version ends the job; the old one says that it cannot, and touches nothing."""
    newest, upgraded = newest_version(), next_version(tmp_path)
    with running_site(tmp_path) as site:
        program, gate = site.program, tmp_path / "gate"
        wait = ["sh", "-c", f"until [ -e {gate} ]; do sleep 0.1; done; echo ran >> {site.marks}"]
        with program.background("start") as old:
            site.fleet.send(
                jobspec(task(wait, "first"), task(["true"], "then", depends_on=["first"]))
            )
            eventually(lambda: is_running(site), "it runs")
            assert old.stop() == 0
        assert ledger_version(site) == newest

        with program.background("start", under=[upgraded]) as new:
            eventually(
                lambda: ledger_version(site) == newest + 1, "the ledger is the new version's"
            )
            eventually(lambda: f'"{NEXT}"' in runtime(site), "the new version runs")
            assert new.stop() == 0

        before = (program.state_dir / "ledger.sqlite").read_bytes()
        with program.background("start") as old:
            assert old.wait() == 42
            assert f"a ledger of version {newest + 1}, this rainbow-agent knows up to" in old.log()
        answer = program.run("jobs")
        assert (answer.code, "install the newer rainbow-agent" in answer.err) == (42, True)
        assert program.show("status")["state"] == "stopped"
        assert (program.state_dir / "ledger.sqlite").read_bytes() == before

        with program.background("start", "--until-idle", under=[upgraded]) as new:
            gate.touch()
            assert new.wait() == 0
        assert site.written() == ["ran"]


def is_running(site: Site) -> bool:
    """Whether a task of the one job is running."""
    return any(t.state is TaskState.RUNNING for row in site.program.rows() for t in row.tasks)


def runtime(site: Site) -> str:
    """What the daemon that runs says of itself."""
    path = site.program.state_dir / "runtime.json"
    return path.read_text("utf-8") if path.exists() else ""
