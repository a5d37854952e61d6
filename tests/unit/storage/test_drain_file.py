"""Requests to take no new jobs: the operator's lasts, that of a stop ends with the daemon."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rainbow_agent.core.model import Drain
from rainbow_agent.storage.drain_file import clear_drain, lift_stop, read_drain, write_drain

OPERATORS = Drain(1.5, "kernel update")
OF_A_STOP = Drain(2.5, "the pod is being stopped", until_stopped=True)
#: What the version before wrote, whoever asked.
OLD_FILE = {"since": 2.5, "reason": "the pod is being stopped"}


def test_a_request_is_kept(tmp_path: Path) -> None:
    """Written, read back, replaced, mode 0600, taken back once."""
    assert read_drain(tmp_path) is None
    assert read_drain(tmp_path / "not-there") is None
    write_drain(tmp_path, OPERATORS)
    write_drain(tmp_path, Drain(2.5))
    assert read_drain(tmp_path) == Drain(2.5)
    write_drain(tmp_path, OF_A_STOP)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [clear_drain(tmp_path), clear_drain(tmp_path)] == [True, False]
    assert read_drain(tmp_path) is None


@given(st.lists(st.sampled_from(["drain", "stop", "start", "resume"]), max_size=8))
def test_a_stop_never_touches_what_the_operator_asked_for(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """Whatever came in whichever order: only `resume` ends an operator's, a start ends a stop's."""
    folder = tmp_path_factory.mktemp("state")
    drained = stopping = False
    for step in steps:
        if step == "drain":
            write_drain(folder, OPERATORS)
            drained = True
        elif step == "stop":
            write_drain(folder, OF_A_STOP)
            stopping = True
        elif step == "start":
            assert lift_stop(folder) == (OF_A_STOP if stopping else None)
            stopping = False
        else:
            assert clear_drain(folder) is (drained or stopping)
            drained = stopping = False
        assert read_drain(folder) == (OPERATORS if drained else OF_A_STOP if stopping else None)


def test_a_stop_that_the_version_before_wrote_down_is_one(tmp_path: Path) -> None:
    """It had one file for both, and a reason of its own; other reasons are an operator's."""
    path = tmp_path / "drain.json"
    path.write_text(json.dumps(OLD_FILE))
    assert read_drain(tmp_path) == OF_A_STOP
    assert lift_stop(tmp_path) == OF_A_STOP
    assert read_drain(tmp_path) is None
    path.write_text(json.dumps({**OLD_FILE, "reason": "mine"}))
    assert lift_stop(tmp_path) is None
    assert read_drain(tmp_path) == Drain(2.5, "mine")


def test_an_operator_may_give_the_same_reason(tmp_path: Path) -> None:
    """What counts is who asked."""
    write_drain(tmp_path, Drain(1.5, OF_A_STOP.reason))
    assert lift_stop(tmp_path) is None
    assert read_drain(tmp_path) == Drain(1.5, OF_A_STOP.reason)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null", b'{"since": "x"}'])
def test_a_damaged_request_is_a_request(tmp_path: Path, content: bytes) -> None:
    """No jobs are taken, and the reason names the file and the way out; a start lifts a stop's."""
    (tmp_path / "drain-stop.json").write_bytes(content)
    assert read_drain(tmp_path) is not None
    assert lift_stop(tmp_path) is not None
    assert read_drain(tmp_path) is None
    (tmp_path / "drain.json").write_bytes(content)
    assert lift_stop(tmp_path) is None
    drain = read_drain(tmp_path)
    assert drain is not None
    assert "drain.json" in drain.reason
    assert "resume" in drain.reason
