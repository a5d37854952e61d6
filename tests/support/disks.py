"""For tests: a small disk of the agent's own, which can be full or read-only.

A tmpfs in a mount namespace that the thread of the test enters and leaves again, so that the
machine's own mounts stay as they are. Needs root (CAP_SYS_ADMIN).
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil

from support.program import Running

_CLONE_NEWNS: Final = 0x00020000  # linux/sched.h
_BALLAST: Final = "ballast"


class SmallDisk:
    """A file system of a few MiB, at a path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        """Leave no space at all."""
        with (self.path / _BALLAST).open("ab", buffering=0) as file:
            for size in (1 << 20, 1 << 12, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError:
                    continue

    def free(self) -> None:
        """Give the space back."""
        (self.path / _BALLAST).unlink()

    def mount(self, *arguments: object) -> None:
        """Mount something; it has to succeed."""
        _run("mount", *map(str, arguments))


def missing_disk() -> str:
    """Why there can be no such disk here; "" when there can."""
    unproven = "a full and a read-only disk are not proven here"
    if os.geteuid() != 0:
        return f"a small disk needs root: {unproven}"
    for program in ("unshare", "mount", "umount"):
        if shutil.which(program) is None:
            return f"{program} is not installed: {unproven}"
    done = subprocess.run(
        ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"],
        capture_output=True,
        check=False,
        timeout=60,
    )
    words = done.stderr.decode(errors="replace").strip()
    return f"nothing can be mounted: {unproven} ({words})" if done.returncode else ""


@contextmanager
def small_disk(path: Path, mebibytes: int = 4) -> Iterator[SmallDisk]:
    """A small disk at a path, which must not be there yet, for all that this thread starts."""
    path.mkdir(mode=0o700)
    with _own_mounts():
        options = f"size={mebibytes}m,mode=0700"
        _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path))
        try:
            yield SmallDisk(path)
        finally:
            _run("umount", "--lazy", str(path))


@contextmanager
def _own_mounts() -> Iterator[None]:
    """A mount namespace of its own for this thread and what it starts."""
    libc = ctypes.CDLL(None, use_errno=True)
    here = Path.cwd()
    before = os.open("/proc/thread-self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _expect(libc.unshare(_CLONE_NEWNS), "unshare")
        _run("mount", "--make-rprivate", "/")
        try:
            yield
        finally:
            _expect(libc.setns(before, _CLONE_NEWNS), "setns")
            os.chdir(here)
    finally:
        os.close(before)


def _expect(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), what)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, timeout=60)


@contextmanager
def no_writes(agent: Running) -> Iterator[None]:
    """For the length of a with block every write of a process past 4 KiB into a file fails.

    With EFBIG, as over a quota that is counted in the size of files (setrlimit(2)); needs no root.
    Its log, which is a file as well, is silent meanwhile.
    """
    process = psutil.Process(agent.pid)
    before = process.rlimit(psutil.RLIMIT_FSIZE)
    process.rlimit(psutil.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        if agent.alive():
            process.rlimit(psutil.RLIMIT_FSIZE, before)
