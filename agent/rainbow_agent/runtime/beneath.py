"""Files below a folder, by names that others chose: none leads out, and no link is followed."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

#: Characters of a name, and folders that one may have above it.
MAX_FILE_NAME: Final = 1024
MAX_DEPTH: Final = 32
#: Entries of folders that find() looks at.
MAX_ENTRIES: Final = 100_000
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def is_beneath(name: str) -> bool:
    """Whether this is the name of something below a folder: relative, and without `..`."""
    parts = name.split("/")
    return (
        len(name) <= MAX_FILE_NAME
        and len(parts) <= MAX_DEPTH
        and "\0" not in name
        and all(part not in ("", ".", "..") for part in parts)
    )


@contextmanager
def folder_of(root: int, name: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """The folder that a name is in, open, and the last part of the name.

    Args:
        root: the folder above all, open.
        name: below it.
        make: whether folders that are not there are made.

    Raises:
        ValueError: the name leads out of the folder.
        OSError: a folder is none, or a link, or cannot be opened.
    """
    if not is_beneath(name):
        raise ValueError(f"{name[:80]!r} is not the name of a file below a folder")
    *folders, last = name.split("/")
    here = os.dup(root)
    try:
        for part in folders:
            if make:
                with suppress(FileExistsError):  # opened below, if it is a folder
                    os.mkdir(part, dir_fd=here)
            here, above = os.open(part, _FOLDER, dir_fd=here), here
            os.close(above)
        yield here, last
    finally:
        os.close(here)


def open_file(root: int, name: str) -> int:
    """A file below a folder, open for reading.

    Raises:
        ValueError: the name leads out of the folder.
        OSError: there is none, it is a link or no file, or cannot be read.
    """
    with folder_of(root, name) as (folder, last):
        # O_NONBLOCK: a pipe that somebody put there does not hold us up.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        file = os.open(last, flags, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "it is not a file", name)
    return file


def open_folder(path: Path) -> int:
    """A folder, open; its own path may have links in it.

    Raises:
        OSError: there is none, or it cannot be read.
    """
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def find(root: int, patterns: Sequence[str]) -> list[str]:
    """Names of files below a folder that match, sorted; links are not followed, and are no files.

    Args:
        root: the folder, open.
        patterns: as a shell has them: `*`, `?`, `[a-z]`; `**` is any number of folders.

    Raises:
        ValueError: a pattern leads out of the folder, or there are more than MAX_ENTRIES entries.
    """
    looks = iter(range(MAX_ENTRIES))
    found: set[str] = set()
    for pattern in patterns:
        if not is_beneath(pattern):
            raise ValueError(f"{pattern[:80]!r} is not a pattern of files below a folder")
        found.update(_find(root, tuple(pattern.split("/")), "", looks))
    return sorted(found)


def _find(folder: int, parts: tuple[str, ...], above: str, looks: Iterator[int]) -> Iterator[str]:
    if above.count("/") >= MAX_DEPTH:
        return
    head, rest = parts[0], parts[1:]
    deep = head == "**"
    if deep and rest:
        yield from _find(folder, rest, above, looks)
    with os.scandir(folder) as entries:
        for entry in entries:
            if next(looks, None) is None:
                raise ValueError(f"there are more than {MAX_ENTRIES} entries to look at")
            name = above + entry.name
            if not deep and not fnmatchcase(entry.name, head):
                continue
            if not rest and entry.is_file(follow_symlinks=False):
                yield name
            elif (deep or rest) and entry.is_dir(follow_symlinks=False):
                try:
                    inner = os.open(entry.name, _FOLDER, dir_fd=folder)
                except OSError:
                    continue  # gone meanwhile, or closed to us
                try:
                    yield from _find(inner, parts if deep else rest, f"{name}/", looks)
                finally:
                    os.close(inner)
