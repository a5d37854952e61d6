"""Rainbow schedulers as processes, for tests of any package: ours, and the real one.

Each is started on a free port of the loopback interface and ended by its process id.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Final

from rainbow_agent.core.model import Credentials
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.jobspec import wire
from support.program import PROGRAM
from support.secrets import REGISTRATION_SECRET

REAL_PROGRAM: Final = "rainbow-scheduler"
_READY: Final = re.compile(r"^.*listening(?: on|:) 127\.0\.0\.1:\d+$", re.MULTILINE)
_LIMIT_S: Final = 120.0  # until a start or an end is given up

_numbers = itertools.count()

#: Registers a cluster under a name of its own, with this graph or make_graph().
Join = Callable[..., tuple[str, Credentials]]
#: A job that any cluster can run.
JOBSPEC = wire.to_wire({"version": 1, "tasks": [{"name": "t", "command": ["true"]}]})
#: Of the selection `constraint`: the first cluster that reported a free node.
NODES_FREE = "- priority: 1\n  steps:\n  - filter: 'nodes_free > 0'\n  - select: first\n"


class SchedulerKind(str, Enum):
    """Which scheduler."""

    EMBEDDED = "embedded"
    #: Without boxes for messages, as the real one.
    EMBEDDED_ROWS = "embedded-rows"
    REAL = "rainbow"

    def missing(self) -> str:
        """Why it cannot be started here; "" when it can."""
        if self is SchedulerKind.REAL and shutil.which(REAL_PROGRAM) is None:
            return f"{REAL_PROGRAM} is not on PATH: nothing is proven against the real rainbow"
        return ""


def _own_port() -> int:
    """A port that nothing listens on, below those that the kernel gives to connections.

    So a server that is away gets it back: no connection has it meanwhile, and no client that tries
    again and again is connected to itself.
    """
    while True:
        port = random.randrange(20000, 32768)
        with suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port


class SchedulerProcess:
    """A scheduler that can be stopped and started again, on the same port."""

    def __init__(
        self,
        kind: SchedulerKind,
        folder: Path,
        secret: str,
        global_token: str,
        flags: Sequence[str] = (),
    ) -> None:
        self._flags = list(flags)
        self.kind = kind
        self.secret = secret  # registers clusters
        self.global_token = global_token  # "": a token per cluster
        self.host = f"127.0.0.1:{_own_port()}"
        self.db = folder / f"{kind.value}.db"
        self._log = folder / f"{kind.value}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id; 0 when it does not run."""
        return self._process.pid if self._process else 0

    def is_running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it; it answers when this returns."""
        # Each start has a log of its own, or the line of the last one would be taken for its.
        self._log.unlink(missing_ok=True)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "RAINBOW_SECRET": self.secret},
            )
        self._await_port(self._process)

    def stop(self) -> int | None:
        """End it with SIGTERM; its exit status, or None if it was not running."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self) -> None:
        """SIGKILL, as a power cut; start() brings it back on the same port."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def restart(self, *, keep_db: bool) -> None:
        """Stop and start it, on the same port; without its database if `keep_db` is false."""
        self.stop()
        if not keep_db:
            for suffix in ("", "-wal", "-shm"):
                self.db.with_name(self.db.name + suffix).unlink(missing_ok=True)
        self.start()

    def log(self) -> str:
        """What it has written since it started."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def _command(self) -> list[str]:
        flags = ["--host", self.host, "--db", str(self.db), "--global-token", self.global_token]
        flags += self._flags
        if self.kind is SchedulerKind.EMBEDDED_ROWS:
            flags += ["--keep-messages", "0"]
        if self.kind is not SchedulerKind.REAL:
            return [str(PROGRAM), "scheduler", *flags]
        # The Go server takes its secret in no other way; this one is good for one test.
        return [REAL_PROGRAM, *flags, "--secret", self.secret]

    def _await_port(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _LIMIT_S
        pause = threading.Event()
        while time.monotonic() < deadline and process.poll() is None:
            if _READY.search(self.log()):
                return
            pause.wait(0.02)
        self.stop()
        raise RuntimeError(f"{self._command()[0]} did not start; it wrote:\n{self.log()}")


@contextmanager
def running_scheduler(
    kind: SchedulerKind | str,
    folder: Path,
    *,
    secret: str = REGISTRATION_SECRET,
    global_token: str = "",
    flags: Sequence[str] = (),
) -> Iterator[SchedulerProcess]:
    """A scheduler for the length of a with block.

    Args:
        kind: which.
        folder: where its database and log go.
        secret: what registers a cluster.
        global_token: what submits to every cluster; "" gives each its own.
        flags: more flags, the same for either kind.

    Yields:
        The process, with `host`, `secret`, `restart(keep_db=...)`.
    """
    process = SchedulerProcess(SchedulerKind(kind), folder, secret, global_token, flags)
    process.start()
    try:
        yield process
    finally:
        process.stop()


@contextmanager
def served(
    kind: SchedulerKind, folder: Path, *, global_token: str = ""
) -> Iterator[tuple[SchedulerProcess, RainbowScheduler]]:
    """A scheduler as of running_scheduler(), and a client of it."""
    with (
        running_scheduler(kind, folder, global_token=global_token) as process,
        closing(RainbowScheduler(process.host)) as scheduler,
    ):
        yield process, scheduler


def new_cluster() -> str:
    """A name that no cluster has had in this process."""
    return f"cluster-{next(_numbers)}"


def make_graph(nodes: int = 2, cores: int = 4, gpus: int = 0) -> str:
    """A cluster graph as JGF text: the cluster "0", its nodes `node0`, ..., their cores, gpus."""
    vertices = {"0": {"metadata": {"type": "cluster", "size": 1}}}
    edges = []
    for node in range(nodes):
        name = f"node{node}"
        parts = {f"{name}-core{i}": "core" for i in range(cores)}
        parts |= {f"{name}-gpu{i}": "gpu" for i in range(gpus)}
        vertices[name] = {"metadata": {"type": "node", "size": 1}}
        vertices |= {part: {"metadata": {"type": kind, "size": 1}} for part, kind in parts.items()}
        edges.append({"source": "0", "target": name, "relation": "contains"})
        edges += [{"source": name, "target": part, "relation": "contains"} for part in parts]
    return json.dumps({"graph": {"directed": True, "nodes": vertices, "edges": edges}})


def make_subsystem(name: str, elements: dict[str, str], nodes: int = 2) -> str:
    """A subsystem graph as JGF text: one vertex with these elements on each node of make_graph."""
    vertices = {
        f"{name}{i}": {"metadata": {"type": name, "size": 1, **elements}} for i in range(nodes)
    }
    edges = [
        {"source": f"node{i}", "target": f"{name}{i}", "relation": "contains"} for i in range(nodes)
    ]
    return json.dumps({"graph": {"directed": True, "nodes": vertices, "edges": edges}})
