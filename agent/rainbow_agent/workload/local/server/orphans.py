"""Processes of jobs without a server to wait for them: how they are known, and how they are ended.

A process belongs to a job when it is the one that was started for it (same pid and same start
time in the same boot), or when its environment names the job. The second also finds what a job
started in the background, and a process that was started just before the server died.
"""

from __future__ import annotations

import ctypes
import functools
import logging
import os
import signal
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

log = logging.getLogger(__name__)

#: In the environment of every process of a job, as under Flux (flux-environment(7)).
JOB_ID_VARIABLE = "FLUX_JOB_ID"
_PROC = Path("/proc")
_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
#: A job that forks while it is being ended is looked for again, this often at most.
_SWEEPS = 20


@dataclass(frozen=True)
class ProcessMark:
    """A process that cannot be mistaken for a later one with the same pid."""

    pid: int
    began: int  # clock ticks after boot: field 22 of /proc/PID/stat, proc(5)
    boot: str  # /proc/sys/kernel/random/boot_id

    def to_entry(self, job_id: int) -> dict[str, Any]:
        """As it stands in the journal."""
        return {"process": self.pid, "id": job_id, "began": self.began, "boot": self.boot}

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any]) -> ProcessMark:
        """The counterpart of to_entry()."""
        return cls(int(entry["process"]), int(entry["began"]), str(entry["boot"]))

    def lives(self) -> bool:
        """Whether that very process is still there."""
        return self.boot == boot_id() and self.began == _began(self.pid)


def mark(pid: int) -> ProcessMark:
    """The mark of a child of ours; it must not have been waited for yet."""
    return ProcessMark(pid, _began(pid) or 0, boot_id())


@functools.cache
def boot_id() -> str:
    """This boot of the machine; empty where Linux does not say."""
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def become_subreaper() -> bool:
    """Let orphaned descendants become children of this process, so that it can wait for them."""
    return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)


def end_orphans(job_ids: Collection[int], started: Iterable[ProcessMark] = ()) -> int:
    """Kill (SIGKILL) every process of these jobs; how many were found.

    Args:
        job_ids: the jobs.
        started: processes that were started for them, found even if they changed their
            environment; their process groups end with them.
    """
    found = {process.pid for process in started if process.lives() and _kill_group(process.pid)}
    names = {f"{JOB_ID_VARIABLE}={job_id}".encode() for job_id in job_ids}
    return len(found) + end_marked(names, found)


def end_marked(marks: Collection[bytes], known: Collection[int] = ()) -> int:
    """Kill (SIGKILL) every process with one of these in its environment; how many were found.

    Args:
        marks: NAME=VALUE, as in environ(7).
        known: processes that are not counted again.
    """
    wanted, found = set(marks), set(known)
    for _ in range(_SWEEPS):
        pids = [pid for pid in psutil.pids() if pid != os.getpid() and _environment(pid) & wanted]
        found.update(pid for pid in pids if _kill(pid))
        if not pids:
            break
    return len(found) - len(set(known))


def _kill_group(leader: int) -> bool:
    try:
        os.killpg(leader, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _kill(pid: int) -> bool:
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _environment(pid: int) -> set[bytes]:
    """NAME=VALUE of a process; empty when it is gone, a zombie, or not ours to look at.

    psutil's `environ` would parse each into a dictionary, of every process at every end of a job.
    """
    try:
        return set((_PROC / str(pid) / "environ").read_bytes().split(b"\0"))
    except OSError:
        return set()


def _began(pid: int) -> int | None:
    """When a process began, in clock ticks after boot.

    psutil's `create_time` is by the wall clock, and another one after the clock was set.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field, the name in parentheses, may itself hold spaces and parentheses.
    return int(stat.rpartition(")")[2].split()[19])
