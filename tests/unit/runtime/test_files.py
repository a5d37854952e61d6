"""Files that are replaced whole."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rainbow_agent.runtime.files import replacing


def test_the_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    """Also where another process was killed while it wrote, and left something open to others."""
    path = tmp_path / "x"
    left = tmp_path / "x.new"
    left.write_text("longer than what comes")
    left.chmod(0o644)
    with replacing(path, durable=True) as file:
        file.write("ä")
    assert path.read_bytes() == "ä".encode()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    """Whatever was written until then is gone."""
    path = tmp_path / "x"
    path.write_text("old")

    def write() -> None:
        with replacing(path) as file:
            file.write("half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - raised right here
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
