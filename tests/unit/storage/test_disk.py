"""The state folder's file system: reported while little space is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from rainbow_agent.runtime.conditions import Conditions
from rainbow_agent.storage import disk
from rainbow_agent.storage.disk import DiskWatch, Space, space
from support.common import FakeClock

GIB = 2**30


@pytest.mark.parametrize(
    ("free", "total", "full"),
    [
        (200 * GIB, 1000 * GIB, False),
        (GIB // 2, 1000 * GIB, False),
        (GIB // 8, 1000 * GIB, True),
        (GIB // 8, GIB, False),
        (GIB // 16, GIB, True),
    ],
)
def test_nearly_full_is_a_quarter_gibibyte_or_a_tenth(free: int, total: int, full: bool) -> None:
    """A small file system is not nearly full when it is empty, and a large one can be."""
    assert Space(free, total).nearly_full is full


def test_the_condition_comes_and_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the space that is left, and what to do."""
    conditions = Conditions(FakeClock())
    watch = DiskWatch(tmp_path, conditions)
    monkeypatch.setattr(disk, "space", lambda _: Space(3 * 2**20, 1000 * GIB))
    watch.look()
    (trouble,) = conditions.current()
    assert trouble.name == "disk-nearly-full"
    assert trouble.reason.startswith(f"3 MiB are free where {tmp_path} is")
    monkeypatch.setattr(disk, "space", lambda _: Space(500 * GIB, 1000 * GIB))
    watch.look()
    assert conditions.current() == []


def test_a_folder_that_is_gone_is_trouble_too(tmp_path: Path) -> None:
    """A volume that was taken away under the agent."""
    conditions = Conditions(FakeClock())
    DiskWatch(tmp_path / "gone", conditions).look()
    assert "cannot be looked at" in conditions.current()[0].reason


def test_the_real_file_system_has_room(tmp_path: Path) -> None:
    """What statvfs says is in bytes."""
    found = space(tmp_path)
    assert 0 < found.free < found.total
