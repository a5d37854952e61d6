"""Starting the processes of jobs, and knowing when all of them are gone.

Each task is the leader of a session and process group of its own. A job lasts as long as any
process of its groups does, also one that was left in the background: it holds the job's cores. As
the server is the subreaper of its jobs, such a process becomes its child and can be waited for.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from rainbow_agent.workload.local.server.job_table import Job
from rainbow_agent.workload.local.server.nest import NEST, Nest
from rainbow_agent.workload.local.server.orphans import JOB_ID_VARIABLE, ProcessMark, mark
from rainbow_agent.workload.local.server.staging import TMPDIR_TAG, needs_folder, stage

#: What a shell answers for a command that is not there, or cannot be executed.
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


class StartFailure(Exception):
    """A task of a job could not be started."""

    def __init__(self, note: str, code: int) -> None:
        super().__init__(note)
        self.note = note
        self.code = code


@dataclass
class _Running:
    """The processes of one job."""

    leaders: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)
    groups: set[int] = field(default_factory=set)  # process groups that have members
    code: int = 0  # the largest exit code so far


@dataclass(frozen=True)
class Surroundings:
    """What jobs get that do not say otherwise."""

    folder: Path  # the server's
    cwd: str  # of jobs whose jobspec names none
    umask: int
    host: str


class Processes:
    """The processes of all running jobs."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._around = surroundings
        self._running: dict[int, _Running] = {}
        self._job_of: dict[int, int] = {}  # leader -> job

    def start(self, job: Job) -> list[ProcessMark]:
        """Start every task of a job. reap() tells when it is over, also after a failure.

        Raises:
            StartFailure: a task could not be started; those before it were.
        """
        running = self._running[job.id] = _Running()
        try:
            return self._start_tasks(job, running)
        except StartFailure as exc:
            running.code = exc.code
            raise

    def signal(self, job_id: int, number: signal.Signals) -> bool:
        """Send a signal to every process group of a job; whether it had any.

        A group that has members in `_running` has not been waited for, so that its number
        cannot have gone to somebody else's processes.
        """
        running = self._running.get(job_id)
        if running is None:
            return False
        for group in running.groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)
        return bool(running.groups)

    def reap(self) -> list[tuple[int, int]]:
        """Wait, without blocking, for all that has ended.

        Returns:
            The jobs that are over now, each with its wait status. As with Flux's shell, a task
            that died of signal N counts as exit code 128 + N.
        """
        while self._wait(-1):
            pass
        over = []
        for job_id, running in list(self._running.items()):
            running.groups = {group for group in running.groups if self._has_members(group)}
            if not running.groups:
                del self._running[job_id]
                shutil.rmtree(self._tmpdir(job_id), ignore_errors=True)
                shutil.rmtree(self._around.folder / NEST / str(job_id), ignore_errors=True)
                over.append((job_id, running.code << 8))
        return over

    def _has_members(self, group: int) -> bool:
        """Whether a process group still has a process; takes note of those that ended."""
        while (ended := self._wait(-group)) is True:
            pass
        return ended is not None

    def _wait(self, which: int) -> bool | None:
        """Take note of one process that has ended.

        Args:
            which: -1 for any child, -G for one of process group G, as for waitpid(2).

        Returns:
            True when there was one, False when all of them live, None when there are none.
        """
        try:
            pid, status = os.waitpid(which, os.WNOHANG)
        except ChildProcessError:
            return None
        if pid and (job_id := self._job_of.pop(pid, None)) is not None:
            running = self._running[job_id]
            code = os.waitstatus_to_exitcode(status)
            # It was waited for here, and not by Popen, which would otherwise complain.
            running.leaders.pop(pid).returncode = code
            running.code = max(running.code, 128 - code if code < 0 else code)
        return bool(pid)

    def _start_tasks(self, job: Job, running: _Running) -> list[ProcessMark]:
        environment, command = self._prepare(job)
        with contextlib.ExitStack() as stack:
            try:
                out, err = (
                    stack.enter_context(self._output(job.id, end)) for end in ("out", "err")
                )
            except OSError as exc:
                raise StartFailure(f"output of the job: {exc}", _NOT_EXECUTABLE) from exc
            marks = []
            for rank in range(job.request.tasks):
                ranked = environment | {
                    "FLUX_TASK_RANK": str(rank),
                    "FLUX_TASK_LOCAL_ID": str(rank),
                }
                leader = self._start_task(job, rank, command, ranked, (out.fileno(), err.fileno()))
                running.leaders[leader.pid] = leader
                running.groups.add(leader.pid)
                self._job_of[leader.pid] = job.id
                marks.append(mark(leader.pid))
            return marks

    def _start_task(
        self,
        job: Job,
        rank: int,
        command: list[str],
        environment: Mapping[str, str],
        output: tuple[int, int],
    ) -> subprocess.Popen[bytes]:
        cwd = job.request.cwd or self._around.cwd
        try:
            return subprocess.Popen(
                command,
                cwd=cwd,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output[0],
                stderr=output[1],
                start_new_session=True,
                umask=self._around.umask,
            )
        except OSError as exc:
            what = f"working folder {cwd}" if exc.filename == cwd else command[0]
            missing = isinstance(exc, FileNotFoundError) and exc.filename != cwd
            raise StartFailure(
                f"task {rank} (host {self._around.host}): start failed: {what}: {exc.strerror}",
                _NOT_FOUND if missing else _NOT_EXECUTABLE,
            ) from exc

    def _prepare(self, job: Job) -> tuple[dict[str, str], list[str]]:
        """The environment and command of a job, its files put in place."""
        request = job.request
        environment = dict(request.environment) | {
            JOB_ID_VARIABLE: str(job.id),
            "FLUX_JOB_SIZE": str(request.tasks),
            "FLUX_JOB_NNODES": "1",
        }
        if request.nest:
            environment |= Nest.of(self._around.folder, job.id, job.cores).to_environment()
        if not needs_folder(request.command, request.files):
            return environment, list(request.command)
        folder = self._tmpdir(job.id)
        try:
            stage(folder, request.files)
        except OSError as exc:
            raise StartFailure(f"files of the job: {exc}", _NOT_EXECUTABLE) from exc
        environment["FLUX_JOB_TMPDIR"] = str(folder)
        return environment, [word.replace(TMPDIR_TAG, str(folder)) for word in request.command]

    def _tmpdir(self, job_id: int) -> Path:
        return self._around.folder / "tmp" / str(job_id)

    def _output(self, job_id: int, end: str) -> FileIO:
        """A file of the job's output, mode 0600, that tasks append to."""
        path = self._around.folder / "output" / f"{job_id}.{end}"
        return FileIO(path, "a", opener=_open_private)


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
