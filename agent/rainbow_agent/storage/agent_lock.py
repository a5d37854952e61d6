"""The lock of the state folder, `agent.lock`: one agent at a time; its text says which."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainbow_agent.core.errors import Fatal, RainbowAgentError, UsageError
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.logs import when
from rainbow_agent.storage.runtime_file import read_runtime

#: struct flock of 64-bit Linux: type, whence, start, length (0: to the end), pid, padding.
#: An open-file-description lock can be asked about without taking it, so that a `status` at the
#: wrong moment cannot keep an agent from starting.
_FLOCK = "hhqqi4x"
_WRITE_LOCK = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
#: How long a lock that is held is waited for, and the pause between two tries, in seconds.
LOCK_WAIT_S = 3.0
LOCK_PAUSE_S = 0.05
#: Bytes of the lock file's text.
_HOLDER_BYTES = 128


@dataclass(frozen=True)
class Holder:
    """Who holds the lock, or held it last."""

    pid: int
    since: float  # epoch seconds
    #: The verb that holds it for a moment, such as `deregister`; "" for a daemon.
    verb: str = ""
    #: The name of its host, as far as the lock file has space for it; "" where it is not known.
    host: str = ""


def this_process(verb: str = "") -> Holder:
    """This process, from now on; for a daemon without a verb."""
    return Holder(os.getpid(), SystemClock().now(), verb, socket.gethostname())


#: Waits a moment for a lock that is held, given the seconds that it was waited for so far; False
#: ends the waiting.
Pause = Callable[[float], bool]


class Lock:
    """One agent a state folder; freed by the kernel however the agent ends."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(
        cls,
        folder: Path,
        holder: Holder,
        *,
        wait: float = LOCK_WAIT_S,
        pause: Pause | None = None,
    ) -> Lock:
        """Take the lock.

        Args:
            folder: the state folder.
            holder: who takes it.
            wait: seconds to wait for it while it is held.
            pause: what waits between two tries.

        Raises:
            Fatal: a daemon holds it; the message says which.
            RainbowAgentError: a verb holds it, which is soon over; or the disk is full.
            UsageError: the file system has no locks, or the file cannot be opened.
        """
        path = folder / "agent.lock"
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as exc:
            raise UsageError(f"{path} cannot be opened: {exc.strerror}") from exc
        try:
            _lock(fd, wait, pause or _pause)
        except (BlockingIOError, PermissionError):
            os.close(fd)
            raise _in_use(folder, wait) from None
        except OSError as exc:
            os.close(fd)
            raise UsageError(
                f"state folder {folder} cannot be locked ({exc.strerror}): its file system must"
                " have locks, without which two agents could run the same jobs. Mount it with them"
                " (NFS: without `nolock`), or set RAINBOW_STATE_DIR to another file system"
            ) from exc
        try:
            os.pwrite(fd, _holder_text(folder, holder), 0)
        except OSError as exc:
            os.close(fd)
            raise RainbowAgentError(
                f"{path} cannot be written: {exc.strerror}; free space on its file system"
            ) from exc
        return cls(fd)

    def release(self) -> None:
        """Free the lock."""
        os.close(self._fd)


def _pause(_waited: float) -> bool:
    threading.Event().wait(LOCK_PAUSE_S)
    return True


def _lock(fd: int, wait: float, pause: Pause) -> None:
    """Take the lock, or wait for it.

    A program that an agent was about to start when it was killed has the agent's descriptors until
    it is loaded: for that long the lock outlives the agent, and a human has nothing to do.

    Raises:
        OSError: it is held all the time, or there are no locks.
    """
    begun = time.monotonic()
    while True:
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WRITE_LOCK)
        except (BlockingIOError, PermissionError):
            waited = time.monotonic() - begun
            if waited > wait or not pause(waited):
                raise
        else:
            return


def _in_use(folder: Path, wait: float) -> RainbowAgentError:
    """What to say of a lock that is held, after this many seconds."""
    other = read_holder(folder)
    if other is not None and other.verb:
        return RainbowAgentError(
            f"state folder {folder} is in use by `rainbow-agent {other.verb}` (pid"
            f" {other.pid}); try again when that has ended"
        )
    return Fatal(
        f"state folder {folder} is in use by a running agent ({who_holds(folder)}), also after"
        f" {wait:g} s; stop that one first, or give this one another RAINBOW_STATE_DIR"
    )


def who_holds(folder: Path) -> str:
    """The process that holds the lock, for people: its pid, its host, and its last heartbeat."""
    holder = read_holder(folder)
    if holder is None:
        return "another process"
    parts = [f"pid {holder.pid}", f"on {holder.host}"] if holder.host else [f"pid {holder.pid}"]
    said = [" ".join(parts), f"since {when(holder.since)}"]
    if holder.verb:
        return ", ".join([f"`rainbow-agent {holder.verb}`", *said])
    runtime = read_runtime(folder)
    heartbeat = runtime.get("heartbeat")
    if runtime.get("run") == holder.since and isinstance(heartbeat, (int, float)):
        age = max(0.0, SystemClock().now() - heartbeat)
        said.append(f"last heartbeat {age:.0f} s ago")
    return ", ".join(said)


def _holder_text(folder: Path, holder: Holder) -> bytes:
    """The lock file's text: always of one length, so that a reader never sees half of it."""
    entry: dict[str, Any] = {"pid": holder.pid, "since": holder.since}
    if holder.verb:  # not a run of the daemon: what is known of the last one stays
        before = last_run(folder)
        entry |= {"verb": holder.verb}
        entry |= {"run": [before.pid, before.since]} if before else {}
    host = holder.host
    while len(text := json.dumps(entry | ({"host": host} if host else {}))) >= _HOLDER_BYTES:
        host = host[:-1]
    return f"{text.ljust(_HOLDER_BYTES - 1)}\n".encode()


def read_holder(folder: Path) -> Holder | None:
    """The process that wrote the lock file last; None when there is none."""
    entry = _read_lock(folder)
    try:
        verb, host = str(entry.get("verb", "")), str(entry.get("host", ""))
        return Holder(int(entry["pid"]), float(entry["since"]), verb, host)
    except (ValueError, KeyError, TypeError):
        return None


def last_run(folder: Path) -> Holder | None:
    """The daemon that runs or ran last; verbs that had the lock since do not count."""
    holder = read_holder(folder)
    if holder is None or not holder.verb:
        return holder
    try:
        pid, since = _read_lock(folder)["run"]
        return Holder(int(pid), float(since))
    except (ValueError, KeyError, TypeError):
        return None


def _read_lock(folder: Path) -> Mapping[str, Any]:
    try:
        entry = json.loads((folder / "agent.lock").read_text())
    except (OSError, ValueError):
        return {}
    return entry if isinstance(entry, dict) else {}


def running(folder: Path) -> Holder | None:
    """The daemon that holds the lock now; None when none does, or a verb for a moment."""
    try:
        fd = os.open(folder / "agent.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        answer = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _WRITE_LOCK)
    except OSError:  # a file system without locks, where no agent runs
        return None
    finally:
        os.close(fd)
    held = struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK
    holder = read_holder(folder) if held else None
    return None if holder is None or holder.verb else holder


def halted(pid: int) -> bool:
    """Whether a process is stopped by a signal or a debugger."""
    import psutil  # noqa: PLC0415 - not for --help

    try:
        status = psutil.Process(pid).status()
    except psutil.Error:
        return False  # of another PID namespace, or just gone
    return status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
