"""Names that others chose lead to nothing outside of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from rainbow_agent.runtime import beneath
from rainbow_agent.runtime.beneath import find, folder_of, is_beneath, open_file

OUTSIDE = (
    *("", ".", "..", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a/.", "a\0b"),
    *("a/" * 40 + "a", "n" * 2000),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files, and ways out of the folder."""
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "root"
    for name in ("a.csv", "b.txt", "out/c.csv", "out/deep/d.csv", ".hidden"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "link.csv").symlink_to(tmp_path / "secret")
    (root / "inner.csv").symlink_to("a.csv")
    (root / "up").symlink_to(tmp_path)
    os.mkfifo(root / "pipe.csv")
    return root


@pytest.fixture
def root(folder: Path) -> Iterator[int]:
    opened = beneath.open_folder(folder)
    yield opened
    os.close(opened)


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_name_that_leads_out_is_none(root: int, name: str) -> None:
    """Whoever asks: to read, to write, or as a pattern."""
    assert not is_beneath(name)
    for use in (lambda: open_file(root, name), lambda: find(root, [name])):
        with pytest.raises(ValueError, match="below a folder"):
            use()
    with pytest.raises(ValueError, match="below a folder"), folder_of(root, name, make=True):
        pass


@pytest.mark.parametrize(
    "name", ["link.csv", "inner.csv", "up/secret", "up/root/a.csv", "pipe.csv", "out", "nothing"]
)
def test_links_and_what_is_no_file_are_not_opened(root: int, name: str) -> None:
    """Also where they lead back into the folder, and a pipe holds nobody up."""
    with pytest.raises(OSError, match=r"\w"):
        open_file(root, name)


def test_a_folder_that_is_a_link_is_not_written_to(root: int, folder: Path) -> None:
    """Files that are fetched stay where they belong."""
    with pytest.raises(OSError, match=r"\w"), folder_of(root, "up/new/file", make=True):
        pass
    assert not (folder.parent / "new").exists()
    with folder_of(root, "new/deep/file", make=True) as (_, last):
        assert last == "file"
    assert (folder / "new" / "deep").is_dir()


FOUND = {
    "*.csv": ["a.csv"],
    "**/*.csv": ["a.csv", "out/c.csv", "out/deep/d.csv"],
    "out/*": ["out/c.csv"],
    "out/**": ["out/c.csv", "out/deep/d.csv"],
    "*/*/*": ["out/deep/d.csv"],
    "[ab].*": ["a.csv", "b.txt"],
    "nothing*": [],
    "up/*": [],
    ".hidden": [".hidden"],
}


@pytest.mark.parametrize("pattern", FOUND)
def test_files_are_found_as_a_shell_does(root: int, pattern: str) -> None:
    """Links are not followed, and are no files."""
    assert find(root, [pattern, pattern]) == FOUND[pattern]


def test_a_search_has_an_end(root: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much is in the folder."""
    monkeypatch.setattr(beneath, "MAX_ENTRIES", 3)
    with pytest.raises(ValueError, match="more than 3 entries"):
        find(root, ["**"])
