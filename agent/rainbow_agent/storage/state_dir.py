"""The state folder: private, locked by one agent, with a small file that says how it does.

Layout: `agent.lock` (locked while an agent runs; its text says which), `runtime.json` (what
the running agent last said of itself), `drain.json` (there while the operator wants no new jobs
taken), `holder.json` (whether this folder holds the cluster, ownership_file.py), `ledger.sqlite`,
`rainbow-config.yaml`, `workload/`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import stat
import struct
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rainbow_agent.core.errors import Fatal, RainbowAgentError, UsageError
from rainbow_agent.core.model import Drain
from rainbow_agent.runtime.clock import SystemClock

log = logging.getLogger(__name__)

#: What only the agent's user may read, wherever it came from.
_PRIVATE = ("*.sqlite*", "*.yaml", "runtime.json", "drain.json", "holder.json", "agent.lock")
#: struct flock of 64-bit Linux: type, whence, start, length (0: to the end), pid, padding.
#: An open-file-description lock can be asked about without taking it, so that a `status` at the
#: wrong moment cannot keep an agent from starting.
_FLOCK = "hhqqi4x"
_WRITE_LOCK = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
#: What runtime.json's size is a multiple of, in bytes, and what is kept free at its end: on a full
#: disk it can still be written over.
_RUNTIME_BLOCK_BYTES = 4096
_RUNTIME_SPARE_BYTES = 1024
#: How long a lock that is held is waited for, and the pause between two tries, in seconds.
LOCK_WAIT_S = 3.0
LOCK_PAUSE_S = 0.05
#: Bytes of the lock file's text.
_HOLDER_BYTES = 128
#: The operator's request that no new jobs are taken.
_DRAIN = "drain.json"


@dataclass(frozen=True)
class Holder:
    """Who holds the lock, or held it last."""

    pid: int
    since: float  # epoch seconds
    #: The verb that holds it for a moment, such as `deregister`; "" for a daemon.
    verb: str = ""


def prepare(path: Path) -> None:
    """Make the folder if needed, mode 0700, and see that it is ours alone.

    What others may only read is closed to them, with a warning; what others may write, or own, is
    refused: it may hold anything by now.

    Raises:
        UsageError: it cannot be made or written, or others can write to it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = path.stat()
    except FileExistsError as exc:
        raise UsageError(f"state folder {path} is not a folder; set RAINBOW_STATE_DIR") from exc
    except OSError as exc:
        raise UsageError(f"state folder {path}: {exc.strerror}; set RAINBOW_STATE_DIR") from exc
    if not stat.S_ISDIR(facts.st_mode):
        raise UsageError(f"state folder {path} is not a folder; set RAINBOW_STATE_DIR")
    _expect_ours(path, facts)
    if not os.access(path, os.W_OK | os.X_OK):
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            raise UsageError(
                f"state folder {path} is on a file system that is mounted read-only: mount it"
                " writable (an error of the disk may have made it so: see dmesg), or set"
                " RAINBOW_STATE_DIR"
            )
        raise UsageError(f"state folder {path} is not writable by this user")
    _close(path, facts)
    for name in _PRIVATE:
        for file in path.glob(name):
            _check_file(file)
    _look_at_parent(path.resolve().parent)


def _expect_ours(path: Path, facts: os.stat_result) -> None:
    """See that no other user owns it or can write to it.

    Raises:
        UsageError: another user does, or can.
    """
    if facts.st_uid not in (os.geteuid(), 0):
        raise UsageError(
            f"state folder: {path} belongs to another user (id {facts.st_uid}), who could change"
            f" what is in it: chown it to the agent's user, or set RAINBOW_STATE_DIR"
        )
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            f"state folder: {path} can be written by others (mode"
            f" {stat.S_IMODE(facts.st_mode):04o}); it holds credentials: chmod go-rwx {path}, or"
            f" set RAINBOW_STATE_DIR to a folder below it, which is then made"
        )


def _check_file(path: Path) -> None:
    try:
        facts = path.stat()
    except OSError:
        return  # gone, or a link to nowhere: opening it says so
    _expect_ours(path, facts)
    _close(path, facts)


def close_file(path: Path) -> None:
    """Take from others what they could read in a file of ours that holds a secret, if it is there.

    Where that cannot be done (it is mounted read-only, say) there is a warning.
    """
    try:
        _close(path, path.stat())
    except OSError:
        return


def _close(path: Path, facts: os.stat_result) -> None:
    """Take from others what they could read."""
    if not facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return
    try:
        path.chmod(stat.S_IMODE(facts.st_mode) & stat.S_IRWXU)
    except OSError as exc:
        log.warning("%s can be read by others, and cannot be closed: %s", path, exc.strerror)
    else:
        log.warning(
            "%s could be read by others (mode %04o); it is closed to them now",
            path,
            stat.S_IMODE(facts.st_mode),
            extra={"action": "closed", "path": str(path)},
        )


def _look_at_parent(parent: Path) -> None:
    """Who can write to the folder above can put another one in the place of ours."""
    mode = parent.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        log.warning(
            "%s can be written by others (mode %04o): they could replace the state folder in it",
            parent,
            stat.S_IMODE(mode),
            extra={"action": "parent_open", "path": str(parent)},
        )


class Lock:
    """One agent a state folder; freed by the kernel however the agent ends."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def take(cls, folder: Path, holder: Holder) -> Lock:
        """Take the lock.

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
            _lock(fd)
        except (BlockingIOError, PermissionError):
            os.close(fd)
            other = read_holder(folder)
            if other is not None and other.verb:
                raise RainbowAgentError(
                    f"state folder {folder} is in use by `rainbow-agent {other.verb}` (pid"
                    f" {other.pid}); try again when that has ended"
                ) from None
            who = f"pid {other.pid}" if other else "another process"
            raise Fatal(
                f"state folder {folder} is in use by a running agent ({who}); stop that one"
                " first, or give this one another RAINBOW_STATE_DIR"
            ) from None
        except OSError as exc:
            os.close(fd)
            raise UsageError(
                f"state folder {folder} cannot be locked ({exc.strerror}): its file system must"
                " have locks, without which two agents could run the same jobs. Mount it with them"
                " (NFS: without `nolock`), or set RAINBOW_STATE_DIR to another file system"
            ) from exc
        entry: dict[str, Any] = {"pid": holder.pid, "since": holder.since}
        if holder.verb:  # not a run of the daemon: what is known of the last one stays
            before = last_run(folder)
            entry |= {"verb": holder.verb}
            entry |= {"run": [before.pid, before.since]} if before else {}
        # Of one length, so that a reader never sees half of it.
        text = json.dumps(entry).ljust(_HOLDER_BYTES - 1) + "\n"
        try:
            os.pwrite(fd, text.encode(), 0)
        except OSError as exc:
            os.close(fd)
            raise RainbowAgentError(
                f"{path} cannot be written: {exc.strerror}; free space on its file system"
            ) from exc
        return cls(fd)

    def release(self) -> None:
        """Free the lock."""
        os.close(self._fd)


def _lock(fd: int) -> None:
    """Take the lock, or wait for it a little.

    A program that an agent was about to start when it was killed has the agent's descriptors until
    it is loaded: for that long the lock outlives the agent, and a human has nothing to do.

    Raises:
        OSError: it is held all the time, or there are no locks.
    """
    deadline = time.monotonic() + LOCK_WAIT_S
    pause = threading.Event()
    while True:
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _WRITE_LOCK)
        except (BlockingIOError, PermissionError):
            if time.monotonic() > deadline:
                raise
            pause.wait(LOCK_PAUSE_S)
        else:
            return


def read_holder(folder: Path) -> Holder | None:
    """The process that wrote the lock file last; None when there is none."""
    entry = _read_lock(folder)
    try:
        return Holder(int(entry["pid"]), float(entry["since"]), str(entry.get("verb", "")))
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


def write_runtime(folder: Path, facts: Mapping[str, Any]) -> None:
    """Replace runtime.json; not flushed to disk, it is only about this run.

    On a full disk the old one is written over, where it is large enough: that needs no space.

    Raises:
        OSError: it cannot be written.
    """
    path, text = folder / "runtime.json", json.dumps(facts)
    text = text.ljust(
        -(-(len(text) + _RUNTIME_SPARE_BYTES) // _RUNTIME_BLOCK_BYTES) * _RUNTIME_BLOCK_BYTES
    )
    try:
        _replace(path, text)
    except OSError as exc:
        if exc.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        path.with_name(f"{path.name}.new").unlink(missing_ok=True)
        with path.open("r+") as file:
            if len(text) > os.fstat(file.fileno()).st_size:
                raise
            file.write(text)


@dataclass(frozen=True)
class End:
    """How a run ended."""

    run: float  # which one: its Holder's `since`
    at: float  # epoch seconds
    status: int  # the exit status
    reason: str


def write_end(folder: Path, end: End) -> None:
    """Keep how this run ended, beside what it said last; a run that was killed leaves nothing.

    Failing to is not an error: the log has it.
    """
    try:
        write_runtime(folder, {**_read_runtime(folder), "ended": vars(end)})
    except OSError as exc:
        log.warning("Cannot write %s/runtime.json: %s", folder, exc)


def end_of(run: float | None, runtime: Mapping[str, Any]) -> End | None:
    """How a run ended; None where it said nothing.

    Args:
        run: the `since` of its Holder.
        runtime: what runtime.json has.
    """
    try:
        ended = runtime["ended"]
        end = End(
            float(ended["run"]), float(ended["at"]), int(ended["status"]), str(ended["reason"])
        )
    except (KeyError, TypeError, ValueError):
        return None
    return end if end.run == run else None


def beat() -> dict[str, Any]:
    """What goes with a heartbeat and tells its age also when the clock is set: this moment.

    By the kernel's monotonic clock, which all processes of one boot share.
    """
    return {"boot": _boot(), "monotonic": SystemClock().monotonic()}


def write_drain(folder: Path, drain: Drain) -> None:
    """Keep the operator's request to drain; it is on disk when this returns."""
    request = json.dumps({"since": drain.since, "reason": drain.reason})
    _replace(folder / _DRAIN, request, durable=True)


def read_drain(folder: Path) -> Drain | None:
    """The operator's request to drain; None when new jobs may be taken.

    A file that cannot be read counts as a request: somebody wrote it.
    """
    path = folder / _DRAIN
    try:
        request = json.loads(path.read_text(encoding="utf-8"))
        return Drain(float(request["since"]), str(request.get("reason") or ""))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return Drain(0.0, f"{path} cannot be read; `rainbow-agent resume` removes it")


def clear_drain(folder: Path) -> bool:
    """Withdraw the request to drain; False when there was none."""
    try:
        (folder / _DRAIN).unlink()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _replace(path: Path, text: str, *, durable: bool = False) -> None:
    fresh = path.with_name(f"{path.name}.new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    fresh.replace(path)


def read_runtime(folder: Path) -> dict[str, Any]:
    """What the agent last said of itself; empty when it never did."""
    return _by_the_clock_of_now(_read_runtime(folder))


def _read_runtime(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / "runtime.json").read_text())
    except (OSError, ValueError):
        return {}
    return facts if isinstance(facts, dict) else {}


def _by_the_clock_of_now(facts: dict[str, Any]) -> dict[str, Any]:
    """The heartbeat as the clock would have it that there is now; it may have been set since."""
    beat, heartbeat = facts.get("beat"), facts.get("heartbeat")
    if not isinstance(beat, dict) or not isinstance(heartbeat, (int, float)):
        return facts
    then = beat.get("monotonic")
    if isinstance(then, (int, float)) and beat.get("boot") == _boot():
        age = max(0.0, SystemClock().monotonic() - then)
        return {**facts, "heartbeat": SystemClock().now() - age}
    return facts


def _boot() -> str:
    """Which boot of the machine this is (random(4)); "" where that cannot be read."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
