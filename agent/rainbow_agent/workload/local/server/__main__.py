"""The server of the local workload manager: `python -m rainbow_agent.workload.local.server`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.fault_injection import install
from rainbow_agent.workload.local.server import folder as folders
from rainbow_agent.workload.local.server.journal_log import JournalLog
from rainbow_agent.workload.local.server.machine import this_machine
from rainbow_agent.workload.local.server.orphans import become_subreaper
from rainbow_agent.workload.local.server.processes import Processes, Surroundings
from rainbow_agent.workload.local.server.server import Server, ServerOptions
from rainbow_agent.workload.local.server.supervisor import ServerState, restore

log = logging.getLogger("rainbow_agent.workload.local.server")

#: The log starts over at a server's start when it is longer than this.
_LOG_LIMIT = 1024 * 1024


@dataclass(frozen=True)
class _Prepared:
    """Everything a server needs, before it becomes a process of its own."""

    state: ServerState
    surroundings: Surroundings
    listener: socket.socket
    lock: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server; the exit code.

    0 after an orderly end (with --detach: when the server listens), else that of the error.
    """
    install(os.environ)
    options = _parser().parse_args(arguments)
    try:
        ready = _prepare(options)
    except RainbowAgentError as exc:
        sys.stderr.write(f"{exc}\n")
        return exc.exit_code
    except OSError as exc:
        sys.stderr.write(f"local workload manager in {options.dir}: {exc}\n")
        return 1
    if options.detach:
        _detach(options.dir)
    return _serve(ready, ServerOptions(options.idle_exit, options.grace, options.lifeline))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rainbow_agent.workload.local.server",
        description=__doc__,
        allow_abbrev=False,
    )
    defaults = ServerOptions()
    add = parser.add_argument
    add("--dir", type=lambda text: Path(text).absolute(), required=True, help="its folder")
    add("--cores", type=int, help="cores to schedule (default: those it may run on)")
    add("--cwd", default=str(Path.cwd()), help="where jobs run whose jobspec names no folder")
    add(
        "--idle-exit",
        type=float,
        default=defaults.idle_exit,
        help="leave after so many seconds without a client and a job (default: %(default)s)",
    )
    add(
        "--grace",
        type=float,
        default=defaults.grace,
        help="seconds between SIGTERM and SIGKILL of a job (default: %(default)s)",
    )
    add(
        "--lifeline",
        type=int,
        metavar="FD",
        help="the reading end of a pipe: end, with all jobs, when its other end is closed",
    )
    add("--detach", action="store_true", help="return once it listens; it keeps running")
    return parser


def _prepare(options: argparse.Namespace) -> _Prepared:
    """Lock the folder, read the journal back, listen.

    Raises:
        RainbowAgentError: the folder is held, not private, or its journal is damaged.
        OSError: the disk says no.
    """
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    umask = os.umask(0o077)
    folders.prepare(options.dir)
    lock = folders.take_lock(options.dir)
    machine = this_machine(options.cores)
    journal = JournalLog.open(options.dir / folders.JOURNAL)
    state = restore(machine, journal, SystemClock().now())
    surroundings = Surroundings(options.dir, options.cwd, umask, machine.host)
    return _Prepared(state, surroundings, folders.listen(options.dir), lock)


def _detach(folder: Path) -> None:
    """Go on in a child, in a session of its own, with the log in the place of the terminal.

    The parent exits here with status 0: its caller can connect now.
    """
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")  # hold no file system that others may want to unmount
    path = folder / folders.LOG
    if path.exists() and path.stat().st_size > _LOG_LIMIT:
        path.unlink()
    output = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


def _serve(ready: _Prepared, options: ServerOptions) -> int:
    folders.sign_lock(ready.lock)
    if not become_subreaper():
        log.warning("Not the subreaper of its jobs: what they leave behind is not waited for")
    machine = ready.state.machine
    log.info("Serving %d cores of %s as pid %d", machine.cores, machine.host, os.getpid())
    try:
        asyncio.run(_run(ready, options))
    except OSError as exc:
        log.critical("Leaving: the journal cannot be written: %s", exc)
        return 1
    finally:
        (ready.surroundings.folder / folders.SOCKET).unlink(missing_ok=True)
    log.info("Leaving")
    return 0


async def _run(ready: _Prepared, options: ServerOptions) -> None:
    server = Server(ready.state, Processes(ready.surroundings), options, SystemClock().now)
    await server.serve(ready.listener)


if __name__ == "__main__":
    sys.exit(main())
