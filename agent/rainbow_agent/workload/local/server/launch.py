"""Getting a connection to the server of a folder, which is started when there is none.

Two programs that start one at the same time get the same: the server's lock lets only one live,
and the other's attempt ends in another try to connect.
"""

from __future__ import annotations

import logging
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

from rainbow_agent.core.errors import Fatal, UsageError, WorkloadUnavailable
from rainbow_agent.core.ports import StopSignal
from rainbow_agent.runtime import fault_injection
from rainbow_agent.runtime.own_program import own_program
from rainbow_agent.workload.local.server import folder as folders
from rainbow_agent.workload.local.server.client import Channel
from rainbow_agent.workload.local.server.protocol import PROTOCOL_VERSION, Op

log = logging.getLogger(__name__)

#: Of the environment, what the server needs; not the agent's secrets.
_PASSED_ON = frozenset(
    {
        *("HOME", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER"),
        *("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE"),
        *("LD_LIBRARY_PATH", "VIRTUAL_ENV"),
    }
)
#: Seconds: for all tries together, between two of them, and for an answer to the first request.
_START_TIMEOUT_S = 20.0
_RETRY_INTERVAL_S = 0.05
_HELLO_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Launch:
    """How a server is started where none listens."""

    cores: int | None = None  # None: those the server may run on
    idle_exit: float = 60.0  # seconds
    cwd: str | None = None  # of jobs that name none; None: the folder of the one that starts it
    #: The reading end of a pipe: a server that is started here ends, with all its jobs, when
    #: the other end is closed everywhere. None: it lives on.
    lifeline: int | None = None


@dataclass(frozen=True)
class Hello:
    """What a server says of itself."""

    pid: int
    instance: str  # differs when the folder was made anew


def reach(
    folder: Path, launch: Launch | None, stop: StopSignal | None = None
) -> tuple[Channel, Hello]:
    """A connection to the server of a folder.

    Args:
        folder: the server's folder.
        launch: how to start a server if there is none; None to be content without.
        stop: once it is set none is started: a service manager would end it with the agent, and
            with it the jobs that it has just begun.

    Raises:
        WorkloadUnavailable: there is none, and none could be started in time.
        UsageError: the folder cannot be used.
        Fatal: the journal in the folder cannot be used.
    """
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        try:
            return _greet(folder)
        except (OSError, WorkloadUnavailable) as exc:
            stopping = stop is not None and stop.is_set()
            if launch is None or stopping or time.monotonic() > deadline:
                because = " (none is started after a stop began)" if stopping else ""
                raise WorkloadUnavailable(
                    f"no local workload manager answers at {folder}{because}: {exc}; its log is"
                    f" {folder / folders.LOG}"
                ) from exc
        if not _start(folder, launch):
            Event().wait(
                _RETRY_INTERVAL_S
            )  # another one holds the folder: it is about to listen, or to leave


def _greet(folder: Path) -> tuple[Channel, Hello]:
    """Connect, and see that it is a server of our version.

    Raises:
        OSError: none listens.
        WorkloadUnavailable: it left, does not answer, or is of another version.
    """
    channel = Channel(folders.connect(folder), str(folder))
    try:
        channel.send({"id": 0, "op": Op.HELLO.value})
        return channel, _hello(channel.receive(_HELLO_TIMEOUT_S), folder)
    except BaseException:  # whatever it is; raised again
        channel.close()
        raise


def _hello(answers: Sequence[Mapping[str, Any]], folder: Path) -> Hello:
    if not answers:
        raise WorkloadUnavailable(f"the local workload manager at {folder} does not answer")
    result = answers[0].get("result") or {}
    if result.get("version") != PROTOCOL_VERSION:
        raise WorkloadUnavailable(
            f"the local workload manager at {folder} (pid {result.get('pid')}) is of another"
            f" version ({result.get('version')}, not {PROTOCOL_VERSION}); it ends by itself when"
            " its jobs are over and no client is left, or at once on SIGTERM, and is replaced then"
        )
    return Hello(int(result["pid"]), str(result["instance"]))


def _start(folder: Path, launch: Launch) -> bool:
    """Start a server; False when another one holds the folder.

    Raises:
        WorkloadUnavailable, UsageError, Fatal: as the server's exit code says, in its words.
    """
    command = [*own_program("rainbow_agent.workload.local.server", "--detach")]
    command += ["--dir", str(folder.absolute()), "--idle-exit", str(launch.idle_exit)]
    command += ["--cwd", launch.cwd or str(Path.cwd())]
    if launch.cores is not None:
        command += ["--cores", str(launch.cores)]
    if launch.lifeline is not None:
        command += ["--lifeline", str(launch.lifeline)]
    try:
        done = subprocess.run(
            command,
            cwd="/",
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_START_TIMEOUT_S,
            check=False,
            pass_fds=() if launch.lifeline is None else (launch.lifeline,),
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise WorkloadUnavailable(f"cannot start the local workload manager: {exc}") from exc
    words = done.stderr.decode(errors="replace").strip()
    if done.returncode == folders.FolderHeld.exit_code:
        return False
    if done.returncode == UsageError.exit_code:
        raise UsageError(words)
    if done.returncode == Fatal.exit_code:
        raise Fatal(words)
    if done.returncode:
        raise WorkloadUnavailable(f"cannot start the local workload manager: {words}")
    log.info("Started a local workload manager in %s", folder, extra={"action": "workload_started"})
    return True


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    kept = (*_PASSED_ON, *(fault_injection.CLOCK_NAMES if fault_injection.allowed(environ) else ()))
    return {name: value for name, value in environ.items() if name in kept}
