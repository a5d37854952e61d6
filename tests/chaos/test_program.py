"""`python -m chaos` from the outside."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from support.common import helper_environment


@pytest.mark.full
def test_a_short_storm_ends_by_itself_with_its_figures_and_leaves_nothing() -> None:
    """A few seconds over embedded parts: nothing is lost, nothing ran twice, its folder is gone."""
    command = [sys.executable, "-m", "chaos", "--seed", "1", "--minutes", "0.1"]
    done = subprocess.run(
        [*command, "--only", "agent killed"],
        env=helper_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = dict(re.findall(r"^(\S.*?)  +(.*)$", done.stdout, re.MULTILINE))
    assert (figures["lost"], figures["twice"], figures["other faults"]) == ("0", "0", "0")
    assert int(figures["agent killed"]) == int(figures["kills"])
    assert "what was left" not in done.stdout


@pytest.mark.full
def test_senders_see_all_of_their_jobs_while_agents_are_killed() -> None:
    """Two agents, a few jobs: every end, exit code and output arrives at whom it is for."""
    command = [sys.executable, "-m", "chaos.senders", "--agents", "2", "--jobs", "40"]
    done = subprocess.run(
        [*command, "--pause", "0.2", "--kills", "2"],
        env=helper_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = dict(re.findall(r"^(\S.*?)  +(.*)$", done.stdout, re.MULTILINE))
    assert figures["ends that did not arrive (lost)"] == "0"
    assert figures["messages about another one's job"] == "0"
    assert int(figures["outputs that arrived"]) >= int(figures["jobs that rainbow took"]) > 0


def test_an_unknown_strike_is_wrong_usage() -> None:
    """The message lists what there is."""
    done = subprocess.run(
        [sys.executable, "-m", "chaos", "--only", "meteorite"],
        env=helper_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 2
    assert "agent killed" in done.stderr
