"""The parts of a storm: rainbow, a workload manager, the agent; each can be struck."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, Final

import psutil

from rainbow_agent.core.states import FINAL_JOB_STATES, FINAL_TASK_STATES
from rainbow_agent.runtime import fault_injection
from support.common import eventually, kill_tree
from support.fleet import Fleet
from support.flux import PrivateFlux, private_flux
from support.program import Program, Running
from support.servers import SchedulerKind, SchedulerProcess, running_scheduler

CLUSTER: Final = "blue"
LOCAL_CORES: Final = 4
WAIT_S: Final = 60.0  # for a part to be there again, on a quiet machine
START_TRIES: Final = 5
READ_TRIES: Final = 50
READ_PAUSE_S: Final = 0.1

_ROWS: Final = """
SELECT j.seq, j.name, j.registration || '/' || j.id, j.state, j.reason, t.name, r.state
FROM job j LEFT JOIN task t ON t.job = j.seq LEFT JOIN replica r ON r.task = t.seq
ORDER BY j.seq
"""
FINAL: Final = frozenset(state.value for state in FINAL_JOB_STATES)
#: Of tasks that a workload manager has, or may have.
_THERE: Final = frozenset({"submitting", "submitted", "running"})
_BEGUN: Final = frozenset({"running", "completed", "failed", "lost"})
_TASK_ENDS: Final = frozenset(state.value for state in FINAL_TASK_STATES)


@dataclass
class Row:
    """A job in the ledger, read without the agent's code."""

    name: str
    key: str
    state: str
    reason: str
    tasks: list[tuple[str, str]]  # name and state of each replica

    @property
    def over(self) -> bool:
        """Whether it is at its end."""
        return self.state in FINAL

    def there(self) -> set[str]:
        """The tasks that the workload manager may have, as far as the ledger knows."""
        return {name for name, state in self.tasks if state in _THERE}

    def ended(self) -> Counter[str]:
        """How many replicas of each task are at their end."""
        return Counter(name for name, state in self.tasks if state in _TASK_ENDS)

    def begun(self) -> list[str]:
        """The tasks that are known to have begun, one for each replica."""
        return [name for name, state in self.tasks if state in _BEGUN]


class AgentEnded(AssertionError):
    """Though nothing ended it."""


class Parts:
    """A cluster with all that it needs.

    Args:
        real: whether rainbow and Flux are real; otherwise both are embedded.
        folder: where everything goes.
        stack: ends it all.
    """

    def __init__(self, folder: Path, stack: ExitStack, *, real: bool) -> None:
        self.real = real
        self.folder = folder
        self.marks = folder / "marks"
        self.instance = folder / "instance"  # a file with its number
        self.instances = 0
        self.clock = folder / "clock"  # a file with the seconds by which the agent's is wrong
        self.clock.write_text("0")
        self._stack = stack
        kind = SchedulerKind.REAL if real else SchedulerKind.EMBEDDED
        self.scheduler: SchedulerProcess = stack.enter_context(running_scheduler(kind, folder))
        self._flux: PrivateFlux | None = None
        self._flux_stack = stack.enter_context(ExitStack())
        self._door = folder / "door"
        self.program = Program(folder, environ=self._environ(), **self._settings())
        stack.callback(self.program.end_local_workload)
        self.fleet = Fleet(self.scheduler.host, self.program.config)
        self._agent_stack = stack.enter_context(ExitStack())
        self.agent: Running | None = None
        self.new_instance()

    def _environ(self) -> dict[str, str]:
        bent = {fault_injection.ALLOWED: "1", fault_injection.CLOCK: str(self.clock)}
        return bent | ({"FLUX_URI": f"local://{self._door}"} if self.real else {})

    def _settings(self) -> dict[str, object]:
        of_kind: dict[str, object] = {"workload": "flux"}
        if not self.real:
            of_kind = {"workload": "local", "local_cores": LOCAL_CORES}
        return {
            "host": self.scheduler.host,
            "cluster": CLUSTER,
            "secret": self.scheduler.secret,
            "poll_min": 0.05,
            "poll_max": 0.5,
            "report_every": 2,
            "black_hole": 1_000_000,  # every tenth task fails by design
            **of_kind,
        }

    # -- the agent --------------------------------------------------------------------------------

    def start_agent(self) -> None:
        """Start it; it need not be ready when this returns."""
        self.end_agent()
        self.agent = self._agent_stack.enter_context(self.program.background("start"))

    def end_agent(self) -> None:
        """SIGKILL, if it runs."""
        self._agent_stack.close()
        self.agent = None

    def agent_ended(self) -> str:
        """How it ended by itself, with the end of its log; "" if it runs."""
        if self.agent is None or self.agent.alive():
            return ""
        return f"exit status {self.agent.wait()}: {self.agent.log()[-1500:]}"

    # -- rainbow ----------------------------------------------------------------------------------

    def start_rainbow(self) -> None:
        """Start it on its port again; a port is not always free at once.

        Raises:
            RuntimeError: it does not start.
        """
        for _ in range(START_TRIES - 1):
            with suppress(RuntimeError):
                return self.scheduler.start()
        return self.scheduler.start()

    def rows_at_rainbow(self) -> set[str]:
        """The names of the jobs in rainbow's database; it is down, or this waits for it."""
        with closing(sqlite3.connect(self.scheduler.db, timeout=WAIT_S)) as connection:
            return {name for (name,) in connection.execute("SELECT name FROM jobs")}

    def secret(self) -> str:
        """The cluster's, as it is on disk; "" if there is none."""
        with suppress(AssertionError):
            return str(self.fleet.credentials.cluster_secret)
        return ""

    # -- the workload manager ---------------------------------------------------------------------

    def new_instance(self) -> None:
        """Start one that knows of nothing; the one before must be dead."""
        self.instances += 1
        self.instance.write_text(f"{self.instances}\n")
        if self.real:
            self._state.mkdir()
            self.start_flux()
        else:
            shutil.rmtree(self.program.state_dir / "workload", ignore_errors=True)

    @property
    def _state(self) -> Path:
        return self.folder / f"flux-{self.instances}"

    def start_flux(self) -> None:
        """Start Flux over the state of this instance, at the same address."""
        flux = private_flux(options=[f"-Sstatedir={self._state}"], log=self.folder / "flux.log")
        self._flux = self._flux_stack.enter_context(flux)
        self._door.unlink(missing_ok=True)
        self._door.symlink_to(self._flux.uri.removeprefix("local://"))

    def stop_flux(self) -> None:
        """End Flux in order; it keeps its state."""
        self._flux_stack.close()

    def workload_pid(self) -> int:
        """The process that answers for the workload manager; 0 if there is none now."""
        if self._flux is not None:
            return self._flux.broker(0)
        lock = self.program.state_dir / "workload" / "server.lock"
        text = lock.read_text().strip() if lock.exists() else ""
        return int(text or 0)

    def kill_workload(self, *, tree: bool) -> None:
        """SIGKILL: Flux always with all that runs in it; of the local one the server alone."""
        if self._flux is not None:
            self._flux.kill()
            self._flux_stack.close()
            return
        pid = self.workload_pid()
        if pid and tree:
            kill_tree(pid)
        elif pid:
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid).kill()

    # -- the ledger -------------------------------------------------------------------------------

    @property
    def ledger(self) -> Path:
        """Its file."""
        return self.program.state_dir / "ledger.sqlite"

    def rows(self) -> list[Row]:
        """All jobs in the ledger, in order of arrival."""
        return rows_of(self.ledger)

    def counts(self) -> tuple[int, int]:
        """How many jobs the ledger has, and how many are over."""
        marks = ",".join("?" * len(FINAL))
        query = f"SELECT count(*), coalesce(sum(state IN ({marks})), 0) FROM job"
        for total, over in _read(self.ledger, query, sorted(FINAL)):
            return int(total), int(over)
        return 0, 0


def rows_of(ledger: Path) -> list[Row]:
    """All jobs in a ledger, in order of arrival."""
    found: dict[int, Row] = {}
    for seq, name, key, state, reason, task, of_task in _read(ledger, _ROWS):
        row = found.setdefault(seq, Row(name, key, state, reason or "", []))
        if task is not None and of_task is not None:
            row.tasks.append((task, of_task))
    return list(found.values())


def _read(path: Path, query: str, values: Sequence[str] = ()) -> list[tuple[Any, ...]]:
    """What a ledger has; nothing if it is not made yet. It may be put back meanwhile.

    Raises:
        sqlite3.DatabaseError: it cannot be read.
    """
    for _ in range(READ_TRIES):
        with suppress(sqlite3.DatabaseError):
            return _read_once(path, query, values)
        Event().wait(READ_PAUSE_S)
    return _read_once(path, query, values)


def _read_once(path: Path, query: str, values: Sequence[str]) -> list[tuple[Any, ...]]:
    if not path.exists():
        return []
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=WAIT_S)) as connection:
        tables = "SELECT count(*) FROM sqlite_master WHERE name IN ('job', 'task', 'replica')"
        if connection.execute(tables).fetchone()[0] < 3:
            return []
        return connection.execute(query, values).fetchall()


def wait_for_registration(parts: Parts, *, besides: Sequence[str] = ()) -> None:
    """Until the agent has a secret, another than these, and rainbow its graph.

    Raises:
        AssertionError: it does not come to that.
        AgentEnded: the agent ended by itself.
    """

    def is_registered() -> bool:
        if ended := parts.agent_ended():
            raise AgentEnded(f"the agent ended by itself: {ended}")
        secret = parts.secret()
        return bool(secret) and secret not in besides

    eventually(is_registered, "the cluster is registered", seconds=WAIT_S)
