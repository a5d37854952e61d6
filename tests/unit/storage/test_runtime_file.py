"""runtime.json: written whole or not at all, and readable whatever stands in it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rainbow_agent.storage.runtime_file import read_runtime, write_runtime


def test_the_running_agents_word_is_kept_for_its_owner(tmp_path: Path) -> None:
    """Written whole or not at all, mode 0600, and read back."""
    write_runtime(tmp_path, {"heartbeat": 1.5})
    write_runtime(tmp_path, {"heartbeat": 2.5, "rainbow": {"reachable": None}})
    assert read_runtime(tmp_path) == {"heartbeat": 2.5, "rainbow": {"reachable": None}}
    assert stat.S_IMODE((tmp_path / "runtime.json").stat().st_mode) == 0o600
    assert sorted(p.name for p in tmp_path.iterdir()) == ["runtime.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null"])
def test_a_damaged_runtime_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    """`status` still works."""
    (tmp_path / "runtime.json").write_bytes(content)
    assert read_runtime(tmp_path) == {}


def test_a_write_that_fails_leaves_the_last_word(tmp_path: Path) -> None:
    """What cannot be JSON does not replace what was."""
    write_runtime(tmp_path, {"heartbeat": 1.5})
    with pytest.raises(TypeError):
        write_runtime(tmp_path, {"heartbeat": object()})
    assert read_runtime(tmp_path) == {"heartbeat": 1.5}


def test_where_nothing_was_said_there_is_nothing_to_read(tmp_path: Path) -> None:
    """No file, and even no folder."""
    assert [read_runtime(tmp_path), read_runtime(tmp_path / "not-there")] == [{}, {}]
