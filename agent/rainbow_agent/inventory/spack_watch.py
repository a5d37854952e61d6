"""Tells when spack's database, or the lock file of its active environment, is written.

spack writes both aside and renames them, and neither need be there yet: what is watched is the
nearest folder that exists. File systems that other machines write to (NFS, a shared volume) send
no events, so the files are also looked at from time to time.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rainbow_compspec.host import Host
from rainbow_compspec.probes import spack_config

log = logging.getLogger(__name__)

#: watchdog's events of a file that was only read: our own reading would wake us.
_READING: Final = frozenset({"opened", "closed_no_write", "closed"})


def spack_files(environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The files that say what spack installed, whether they are there yet or not."""
    host = Host(environ=environ)
    files = [Path(tree.index) for tree in spack_config.locate(host).trees]
    if host.env("SPACK_ENV"):
        files.append(Path(host.env("SPACK_ENV")) / "spack.lock")
    return tuple(files)


class SpackWatch:
    """watcher.SoftwareWatch over watchdog (inotify) and stat(2)."""

    def __init__(self, files: Sequence[Path], since: float = float("inf")) -> None:
        """Begin with how they are.

        Args:
            files: those that change when software is installed.
            since: epoch seconds; what changed then or later is a change for the first look.
        """
        self._files = tuple(files)
        self._stamps = [s if s and s[2] / 1e9 < since - 1 else None for s in self._stat()]
        self._observer: Any = None  # watchdog types its observers as a variable
        self._watched: set[Path] = set()
        self._changed: Callable[[], None] = lambda: None

    def start(self, changed: Callable[[], None]) -> None:
        """Begin; `changed` is called from a thread of watchdog's."""
        if not self._files:
            return
        from watchdog.observers import Observer  # noqa: PLC0415 - not needed where no spack is

        self._changed = changed
        self._observer = Observer()
        self._guarded(self._observer.start)
        self._guarded(self._watch)

    def look(self) -> bool:
        """Whether a file is another one since the last look."""
        self._guarded(self._watch)
        before, self._stamps = self._stamps, self._stat()
        return self._stamps != before

    def stop(self) -> None:
        """End watchdog's threads."""
        if self._observer is not None:
            observer, self._observer = self._observer, None
            observer.stop()
            if observer.is_alive():
                observer.join()

    def dispatch(self, event: Any) -> None:
        """Called by watchdog, in a thread of its own, with an event of a watched folder."""
        if event.event_type in _READING:
            return
        touched = {Path(os.fsdecode(p)) for p in (event.src_path, event.dest_path) if p}
        # A folder above is `modified` by whatever is written in it.
        above = event.event_type != "modified"
        for file in self._files:
            if file in touched or (above and not touched.isdisjoint(file.parents)):
                self._changed()
                return

    def _guarded(self, action: Callable[[], None]) -> None:
        """Do something with watchdog; without it there is still looking."""
        if self._observer is None:
            return
        try:
            action()
        except OSError as exc:  # no inotify instances or watches left
            log.warning(
                "spack's files cannot be watched, they are looked at from time to time: %s",
                exc,
                extra={"action": "spack_not_watched"},
            )
            self.stop()

    def _watch(self) -> None:
        """Watch the nearest folder of each file that exists, and none other."""
        wanted = {_nearest(file.parent) for file in self._files}
        if wanted != self._watched:
            self._observer.unschedule_all()
            self._watched = wanted
            for folder in wanted:
                self._observer.schedule(self, str(folder))

    def _stat(self) -> list[tuple[int, int, int] | None]:
        return [_stamp(file) for file in self._files]


def _nearest(folder: Path) -> Path:
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
