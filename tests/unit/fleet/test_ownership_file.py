"""holder.json: whether a state folder holds the cluster."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from rainbow_agent.core.errors import UsageError
from rainbow_agent.fleet.ownership_file import OwnershipFile, identify
from rainbow_agent.fleet.ownership_messages import OwnershipRecord

HELD = OwnershipRecord("abc", held=True, secret_rotated=False)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    """By the next start, too; its mode is 0600."""
    assert OwnershipFile(tmp_path).load() is None
    for ownership_record in (HELD, OwnershipRecord("def", held=False)):
        OwnershipFile(tmp_path).save(ownership_record)
        assert OwnershipFile(tmp_path).load() == ownership_record
    assert [each.name for each in tmp_path.iterdir()] == ["holder.json"]
    assert stat.S_IMODE((tmp_path / "holder.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("copy", [shutil.copyfile, shutil.copy2])
def test_a_copy_holds_nothing(tmp_path: Path, copy: object) -> None:
    """However careful it was made."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    OwnershipFile(first).save(HELD)
    assert callable(copy)
    copy(first / "holder.json", second / "holder.json")
    found = OwnershipFile(second).load()
    assert found is not None
    assert not found.held
    assert OwnershipFile(first).load() == HELD


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"file": 1}', "[" * 5000])
def test_a_file_that_says_nothing_holds_nothing(tmp_path: Path, text: str) -> None:
    """And is no error."""
    (tmp_path / "holder.json").write_text(text)
    found = OwnershipFile(tmp_path).load()
    assert found is not None
    assert not found.held


def test_a_folder_that_is_gone_is_an_error_of_ours(tmp_path: Path) -> None:
    """Which the claim lives with."""
    with pytest.raises(UsageError, match=r"holder\.json cannot be written"):
        OwnershipFile(tmp_path / "gone").save(HELD)


def test_a_card_says_who_we_are(tmp_path: Path) -> None:
    """Each run has an id of its own."""
    one, two = identify(tmp_path, 1.0), identify(tmp_path, 1.0)
    assert (one.pid, one.folder, one.since) == (os.getpid(), str(tmp_path), 1.0)
    assert one.id != two.id
