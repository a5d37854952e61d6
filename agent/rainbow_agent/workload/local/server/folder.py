"""The server's folder: private, locked by one server, with a socket that may lie deep."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import ClassVar

from rainbow_agent.core.errors import RainbowAgentError, UsageError

SOCKET = "workload.sock"
LOCK = "server.lock"
LOG = "server.log"
JOURNAL = "journal.jsonl"
#: sizeof(sockaddr_un.sun_path) less the closing NUL, unix(7).
_LONGEST_ADDRESS = 107
_LOCK_POLL_S = 0.01  # seconds between two looks at a lock


class FolderHeld(RainbowAgentError):
    """Another server works in the folder; exit code 75, EX_TEMPFAIL of sysexits.h."""

    exit_code: ClassVar[int] = 75


def prepare(folder: Path) -> None:
    """Make the folder and those in it, mode 0700.

    Raises:
        UsageError: it cannot be made, or it is not this user's own.
    """
    try:
        for path in (folder, folder / "output", folder / "tmp"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = folder.stat()
    except OSError as exc:
        raise UsageError(
            f"folder of the local workload manager: {folder}: {exc.strerror}; choose another one"
        ) from exc
    if facts.st_uid != os.geteuid() or facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise UsageError(
            f"folder of the local workload manager: {folder} must belong to this user and be"
            f" closed to others (mode {stat.S_IMODE(facts.st_mode):04o}): chmod 700 {folder}"
        )


def take_lock(folder: Path) -> int:
    """Lock the folder for as long as the descriptor that comes back is open, here or in a child.

    Raises:
        FolderHeld: another server has it; the message says which.
        UsageError: the file system has no locks.
    """
    fd = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(fd)
        raise FolderHeld(
            f"a local workload manager (pid {holder}) works in {folder} already; use that one, or"
            " choose another folder"
        ) from None
    except OSError as exc:
        os.close(fd)
        raise UsageError(
            f"folder of the local workload manager: {folder} cannot be locked ({exc.strerror}): its"
            " file system must have locks; set RAINBOW_STATE_DIR to another one"
        ) from exc
    return fd


def sign_lock(fd: int) -> None:
    """Write this process into the lock that it holds."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)


def wait_free(folder: Path, seconds: float) -> bool:
    """Wait until no server holds the folder; False if one still does after so many seconds."""
    deadline = time.monotonic() + seconds
    fd = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    try:
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    return False
                Event().wait(_LOCK_POLL_S)
            else:
                return True
    finally:
        os.close(fd)


def listen(folder: Path) -> socket.socket:
    """Listen on the folder's socket; to be called by the holder of the lock only."""
    (folder / SOCKET).unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _address(folder) as address:
        server.bind(address)
    (folder / SOCKET).chmod(0o600)
    server.listen(128)
    server.setblocking(False)
    return server


def connect(folder: Path) -> socket.socket:
    """Connect to the folder's server.

    Raises:
        OSError: none listens.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _address(folder) as address:
            client.connect(address)
    except OSError:
        client.close()
        raise
    client.setblocking(False)
    return client


@contextmanager
def _address(folder: Path) -> Iterator[str]:
    """The socket's address: its path, or where that is too long one through a descriptor."""
    path = str(folder / SOCKET)
    if len(os.fsencode(path)) <= _LONGEST_ADDRESS:
        yield path
        return
    fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{fd}/{SOCKET}"
    finally:
        os.close(fd)
