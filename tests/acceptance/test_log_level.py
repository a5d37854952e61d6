"""What the daemon logs can be changed while it runs."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from support.common import eventually
from support.fleet import jobspec, task
from support.site import running_site


def test_the_level_changes_while_it_runs(tmp_path: Path) -> None:
    """By the verb, and back by SIGHUP without a request; each line of a job has its id."""
    with running_site(tmp_path) as site, site.program.background("start") as agent:
        agent.says("registered")
        first = site.program.run("log-level", "debug")
        assert first.code == 0
        assert "logs at level debug" in first.out
        agent.says("The log is at level debug from now on")
        site.fleet.send(jobspec(task(["false"])))
        site.program.await_end(1)
        agent.says("is failed: exit code 1")
        site.program.run("log-level", "warning")
        agent.says("The log is at level warning from now on")
        (site.program.state_dir / "log-level").unlink()
        agent.signal(signal.SIGHUP)
        agent.says("The log is at level info from now on")
        assert agent.alive()
        (row,) = site.program.rows()
        lines = [json.loads(line) for line in agent.log().splitlines()]
        states = {line["state"] for line in lines if line.get("job") == str(row.key)}
        assert {"submitted", "running", "failed"} & states >= {"failed"}
        assert any(line["level"] == "debug" for line in lines)
        assert agent.stop() == 0


@pytest.mark.full
def test_a_wish_ends_with_the_daemon(tmp_path: Path) -> None:
    """Without a running daemon nothing is sent; the next start takes the setting."""
    with running_site(tmp_path) as site:
        never = site.program.run("log-level", "debug")
        assert (never.code, "no daemon has run" in never.err) == (2, True)
        with site.program.background("start") as agent:
            agent.says("registered")
            site.program.run("log-level", "debug")
            agent.says("level debug")
            agent.kill()
        down = site.program.run("log-level", "debug")
        assert (down.code, "no daemon is using" in down.err) == (2, True)
        with site.program.background("start") as again:
            again.says("Caught up")
            eventually(lambda: not (site.program.state_dir / "log-level").exists(), "it is gone")
            assert '"level": "debug"' not in again.log()
