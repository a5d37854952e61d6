"""Software that appears is noticed: through inotify at once, and by looking."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rainbow_agent.inventory.spack_watch import SpackWatch, spack_files
from support.common import eventually


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Of an install tree that is not there yet."""
    return tmp_path / "spack" / "opt" / "spack" / ".spack-db" / "index.json"


def write(path: Path, text: str = "{}") -> None:
    """As spack does it: aside, then a rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_text(text)
    aside.replace(path)


@contextmanager
def watching(*files: Path) -> Iterator[tuple[SpackWatch, threading.Event]]:
    """A watch that sets an event."""
    watch, noticed = SpackWatch(files), threading.Event()
    watch.start(noticed.set)
    try:
        yield watch, noticed
    finally:
        watch.stop()


def test_a_database_that_is_written_is_told(index: Path) -> None:
    """By a rename over the old one."""
    write(index)
    with watching(index) as (_, noticed):
        write(index, '{"database": {}}')
        assert noticed.wait(120)


def test_a_tree_that_is_made_later_is_watched_then(index: Path) -> None:
    """Folder by folder; a look takes the watch along, as each event leads to one."""
    with watching(index) as (watch, noticed):
        index.parents[2].mkdir(parents=True)
        assert noticed.wait(120)
        watch.look()
        index.parent.mkdir(parents=True)
        noticed.clear()
        watch.look()
        write(index)
        assert noticed.wait(120)


def test_reading_is_no_change(index: Path) -> None:
    """Or our own description would lead to the next one, for ever."""
    write(index)
    lock = index.with_name("lock")
    lock.touch()
    with watching(index) as (_, noticed):
        for _ in range(3):
            index.read_text()
            lock.write_text("x")
        write(index.with_name("other"), "x")
        assert not noticed.wait(0.3)
        write(index, "[]")
        assert noticed.wait(120)


def test_what_nobody_tells_is_found_by_looking(index: Path) -> None:
    """A shared file system that another machine wrote to; once for each change."""
    watch = SpackWatch([index])
    assert not watch.look()
    write(index)
    assert watch.look()
    assert not watch.look()
    stamp = index.stat()
    os.utime(index, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    assert watch.look()
    index.unlink()
    assert watch.look()


def test_a_tree_that_is_removed_and_made_again(index: Path) -> None:
    """The watch is where the files will be."""
    write(index)
    with watching(index) as (watch, noticed):
        index.unlink()
        index.parent.rmdir()
        assert noticed.wait(120)
        watch.look()
        index.parent.mkdir()
        watch.look()
        noticed.clear()
        write(index)
        eventually(noticed.is_set, "the new database is noticed")


def test_stopping_ends_the_threads(index: Path) -> None:
    """Twice is no error, and so is a watch without files."""
    before = threading.active_count()
    with watching(index) as (watch, _):
        assert threading.active_count() > before
        watch.stop()
        assert threading.active_count() == before
    with watching() as (watch, _):
        assert threading.active_count() == before
        assert not watch.look()


def test_no_watches_left_is_said_and_looking_goes_on(
    index: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The system has a limit on inotify instances."""

    def refuse(*_: object) -> None:
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr("watchdog.observers.Observer.schedule", refuse)
    with watching(index) as (watch, _):
        assert "instance limit" in caplog.text
        write(index)
        assert watch.look()


def test_which_files_those_are(tmp_path: Path) -> None:
    """The install tree of the spack in the environment, and the active environment's lock."""
    root, active = tmp_path / "spack", tmp_path / "env"
    assert spack_files({"SPACK_ROOT": str(root), "PATH": "", "SPACK_ENV": str(active)}) == (
        root / "opt" / "spack" / ".spack-db" / "index.json",
        active / "spack.lock",
    )
