"""The state folder: private, for one user."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rainbow_agent.core.errors import UsageError
from rainbow_agent.storage.state_dir import prepare


def test_a_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    """Mode 0700, with its parents; making it again changes nothing."""
    folder = tmp_path / "a" / "b"
    prepare(folder)
    prepare(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_in_the_place_of_the_folder_is_called_that(tmp_path: Path) -> None:
    """Not only that something exists."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(UsageError, match=f"{file} is not a folder"):
        prepare(file)


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o1777])
def test_a_folder_that_others_can_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    """Who can write there can put a ledger of their own in its place; the message has the cure."""
    tmp_path.chmod(mode)
    with pytest.raises(UsageError, match="chmod go-rwx"):
        prepare(tmp_path)
    tmp_path.chmod(0o700)


@pytest.mark.parametrize("mode", [0o700, 0o750, 0o755])
def test_what_others_can_read_is_closed(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The folder and the files in it are for their owner alone from then on, with a warning."""
    tmp_path.chmod(mode)
    file = tmp_path / "rainbow-config.yaml"
    file.touch()
    file.chmod(0o644)
    prepare(tmp_path)
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    named = [r.getMessage() for r in caplog.records if "could be read" in r.getMessage()]
    assert len(named) == (1 if mode == 0o700 else 2)
    caplog.clear()
    prepare(tmp_path)
    assert caplog.records == []


@pytest.mark.parametrize("name", ["ledger.sqlite", "rainbow-config.yaml", "runtime.json"])
def test_a_file_that_others_can_write_is_refused(tmp_path: Path, name: str) -> None:
    """It may hold anything by now; the message names it."""
    (tmp_path / name).touch()
    (tmp_path / name).chmod(0o660)
    with pytest.raises(UsageError, match=name):
        prepare(tmp_path)


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner could change the ledger under us."""
    monkeypatch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
    if tmp_path.stat().st_uid == 0:
        os.chown(tmp_path, 12345, -1)
    with pytest.raises(UsageError, match="belongs to another user"):
        prepare(tmp_path)


def test_a_link_to_a_folder_is_looked_through(tmp_path: Path) -> None:
    """What counts is the folder that the link leads to."""
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir(mode=0o700)
    link.symlink_to(folder)
    prepare(link)
    folder.chmod(0o770)
    with pytest.raises(UsageError, match="written by others"):
        prepare(link)


def test_a_parent_that_others_can_write_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """They could replace the folder as a whole; a sticky parent, as /tmp is, keeps them off."""
    folder = tmp_path / "state"
    tmp_path.chmod(0o1777)
    prepare(folder)
    assert caplog.records == []
    tmp_path.chmod(0o777)
    prepare(folder)
    tmp_path.chmod(0o700)
    assert "replace the state folder" in caplog.text


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    """The message names it and the setting."""
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(UsageError, match=r"file.*RAINBOW_STATE_DIR"):
        prepare(path)
    with pytest.raises(UsageError, match="RAINBOW_STATE_DIR"):
        prepare(path / "below")


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found at the start, not when the first job comes (root may write anywhere: asked of os)."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UsageError, match="not writable"):
        prepare(tmp_path)
