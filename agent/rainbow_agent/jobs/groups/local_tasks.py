"""Local tasks: processes beside a group's runner, and everything they leave behind.

Each is the leader of a session of its own and carries a mark in its environment, by which what it
started in the background is found and ended with the group, whatever session that is in.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import IO, Any

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.group_events import label
from rainbow_agent.core.model import PlannedTask, TaskChange, TaskKey
from rainbow_agent.core.states import TaskState
from rainbow_agent.workload.local.server.orphans import end_marked
from rainbow_agent.workload.local.server.staging import TMPDIR_TAG, read_files, stage

MARK = "RAINBOW_GROUP_MARK"
#: Seconds between SIGTERM and SIGKILL.
_TERM_GRACE_S = 1.0
#: Seconds for the last words of a task that has ended; what it started may hold its output open.
_OUTPUT_DRAIN_S = 0.3
#: Local tasks that run at a time; each has threads here.
_MAX_RUNNING = 64


class InPlaceTasks:
    """Runs local tasks (group.InPlace).

    Args:
        environment: theirs, under their own.
        mark: a value that no other group's processes have.
        on_change: is called with their beginnings and ends.
    """

    def __init__(
        self, environment: Mapping[str, str], mark: str, on_change: Callable[[TaskChange], None]
    ) -> None:
        self._environment = environment
        self._mark = {MARK: mark}
        self._on_change = on_change
        self._slots = threading.Semaphore(_MAX_RUNNING)
        self._lock = threading.Lock()
        self._running: dict[TaskKey, subprocess.Popen[bytes]] = {}
        self._canceled: set[TaskKey] = set()

    def start(self, key: TaskKey, task: PlannedTask) -> None:
        """Start a task; a thread of its own sees to it."""
        threading.Thread(target=self._run, args=(key, task.jobspec), daemon=True).start()

    def cancel(self, keys: Collection[TaskKey]) -> None:
        """End those that run, and start none of these any more."""
        with self._lock:
            self._canceled |= set(keys)
            processes = [self._running[key] for key in keys if key in self._running]
        for process in processes:
            _signal(process, signal.SIGTERM)

    def _run(self, key: TaskKey, jobspec: Mapping[str, Any]) -> None:
        with self._slots:
            folder = Path(tempfile.mkdtemp(prefix="rainbow-local-"))
            try:
                process = self._begin(key, jobspec, folder)
                if process is not None:
                    self._see_through(key, process, jobspec)
            except (OSError, Rejected) as exc:
                self._end(key, f"cannot be started: {exc}", None, time.time())
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def _begin(
        self, key: TaskKey, jobspec: Mapping[str, Any], folder: Path
    ) -> subprocess.Popen[bytes] | None:
        system = jobspec["attributes"]["system"]
        files = folder / "files"
        stage(files, read_files(system.get("files") or {}))
        words = [word.replace(TMPDIR_TAG, str(files)) for word in jobspec["tasks"][0]["command"]]
        with self._lock:
            if key in self._canceled:
                return None
            process = self._running[key] = subprocess.Popen(
                words,
                cwd=system.get("cwd"),
                env={**self._environment, **system.get("environment", {}), **self._mark},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        at = time.time()
        self._on_change(TaskChange(key, TaskState.RUNNING, at, "started", started=at, inside=True))
        return process

    def _see_through(
        self, key: TaskKey, process: subprocess.Popen[bytes], jobspec: Mapping[str, Any]
    ) -> None:
        began = time.time()
        readers = [
            threading.Thread(target=_copy, args=(source, stream, key), daemon=True)
            for source, stream in ((process.stdout, sys.stdout), (process.stderr, sys.stderr))
        ]
        for reader in readers:
            reader.start()
        limit = jobspec["attributes"]["system"].get("duration") or None
        late = False
        try:
            process.wait(limit)
        except subprocess.TimeoutExpired:
            late = True
            _signal(process, signal.SIGTERM)
            try:
                process.wait(_TERM_GRACE_S)
            except subprocess.TimeoutExpired:
                _signal(process, signal.SIGKILL)
                process.wait()
        ended = time.time()
        for reader in readers:
            reader.join(_OUTPUT_DRAIN_S)
        self._end(key, "timeout: its duration is over" if late else None, process, began, ended)

    def _end(
        self,
        key: TaskKey,
        reason: str | None,
        process: subprocess.Popen[bytes] | None,
        began: float,
        ended: float | None = None,
    ) -> None:
        with self._lock:
            self._running.pop(key, None)
            canceled = key in self._canceled
        number = process.returncode if process is not None else None
        code = None if number is None else 128 - number if number < 0 else number
        if reason is None and canceled:
            reason = "its group was ended"
        if reason is None and code:
            reason = f"signal {-number}" if number and number < 0 else f"exit code {code}"
        at = ended or time.time()
        state = (
            TaskState.COMPLETED
            if reason is None
            else TaskState.CANCELED
            if canceled
            else TaskState.FAILED
        )
        self._on_change(
            TaskChange(
                key,
                state,
                at,
                reason or "exit code 0",
                exit_code=code,
                reason=reason,
                started=began if process is not None else None,
                finished=at,
                inside=True,
            )
        )


def _copy(source: IO[bytes] | None, stream: IO[str], key: TaskKey) -> None:
    """Put a task's lines into the group's own output, each with whose it is."""
    if source is None:
        return
    head = label(key).encode()
    with source:
        for line in source:
            end = b"" if line.endswith(b"\n") else b"\n"
            with contextlib.suppress(OSError):
                os.write(stream.fileno(), head + line + end)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To a task's process group, unless its leader was waited for: its number may be reused."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)


def end_all(mark: str) -> int:
    """End everything that local tasks with this mark started; how many processes that were."""
    return end_marked({f"{MARK}={mark}".encode()})


def guard(mark: str) -> None:
    """Leave a process that ends what local tasks started, should this one be killed.

    To be called before there are threads.
    """
    reading, writing = os.pipe()
    if os.fork():
        os.close(reading)
        return  # `writing` stays open as long as this process lives
    status = 0
    try:
        os.close(writing)
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        os.chdir("/")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.read(reading, 1)
        end_all(mark)
    except BaseException:  # noqa: BLE001 - a copy of the runner must not go on as the runner
        status = 1
    os._exit(status)
