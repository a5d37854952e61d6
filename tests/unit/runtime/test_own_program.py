"""Programs of ours import nothing that lies around where they are started."""

from __future__ import annotations

import os
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.runtime import own_program as module
from rainbow_agent.runtime.own_program import own_program

ROOT = Path(module.__file__).parents[2]


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What was found out about this process does not outlive a test."""
    module._is_found_isolated.cache_clear()
    yield
    module._is_found_isolated.cache_clear()


def test_an_installed_agent_is_started_by_name() -> None:
    """What is submitted today runs the version that is installed when it starts."""
    words = own_program("rainbow_agent.jobs.groups", "FILE")
    assert words == (sys.executable, "-I", "-m", "rainbow_agent.jobs.groups", "FILE")


@pytest.mark.parametrize("how", ["PYTHONPATH", "user site"])
def test_an_agent_that_is_found_by_the_environment_is_found_in_jobs(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folders travel in the command; the arguments are the program's own, in order."""
    (tmp_path / "json.py").write_text("raise SystemExit('not ours')\n")
    if how == "PYTHONPATH":
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), "/nothing/here"]))
    else:
        monkeypatch.setattr(site, "USER_SITE", str(ROOT))
    words = own_program("rainbow_agent.jobs.groups.stage", "--shared-fs=no", "--", str(tmp_path))
    assert words[:3] == (sys.executable, "-I", "-c")
    monkeypatch.delenv("PYTHONPATH", raising=False)
    ended = subprocess.run(
        words, cwd=tmp_path, env={}, capture_output=True, text=True, check=False, timeout=60
    )
    assert ended.returncode == 0, ended.stderr
