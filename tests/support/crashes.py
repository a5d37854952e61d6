"""For tests: an agent that dies at a crash point, and how a job ended, as everybody has it."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import psutil

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import Cancellation, JobRow, TaskRow
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState, TaskState
from rainbow_agent.runtime.fault_injection import CrashPoint
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import eventually, kill_tree
from support.evidence import Books, history, records, times_submitted
from support.fleet import jobspec, task
from support.flux import PrivateFlux, private_flux
from support.program import Program, Running
from support.servers import SchedulerKind
from support.site import Site, running_site


@dataclass(frozen=True)
class Ending:
    """What became of one job: the same, wherever the agent was killed.

    Attributes:
        state: the job's, with its reason.
        tasks: name, replica, state, exit code and reason of each; no reason of one that was
            canceled and depends on others: Flux may come to it before or after those.
        lines: what its commands wrote, sorted.
        between: the first and the last of these.
        submitted: how many jobs of the workload manager each task was, by its journal.
        let_go: how often rainbow took the job's row off its list, by its database.
    """

    state: tuple[JobState, str | None]
    tasks: list[tuple[str, int, TaskState, int | None, str | None]]
    lines: list[str]
    between: tuple[str, ...]
    submitted: dict[tuple[str, int], int]
    let_go: int


class Instance:
    """A site's workload manager, which may die and be replaced."""

    def __init__(self, program: Program, flux: PrivateFlux | None, stack: ExitStack) -> None:
        self._program = program
        self._flux = flux
        self._stack = stack

    def kill(self) -> None:
        """SIGKILL: Flux with all that runs in it; of the local one the server alone."""
        if self._flux is not None:
            self._flux.kill()
        else:
            _kill_server(self._program, tree=False)

    def replace(self, *, cores: int | None = None, brokers: int = 1) -> None:
        """End it with all that runs in it; the agent's next start finds another one.

        Args:
            cores: of the new local one, where it has others.
            brokers: of the new Flux.
        """
        if self._flux is None:
            _kill_server(self._program, tree=True)
            shutil.rmtree(self._program.state_dir / "workload")
            if cores is not None:
                self._program.environ["RAINBOW_LOCAL_CORES"] = str(cores)
            return
        self._flux.kill()
        self._flux = self._stack.enter_context(private_flux(size=brokers))
        self._program.environ["FLUX_URI"] = self._flux.uri


def _kill_server(program: Program, *, tree: bool) -> None:
    lock = program.state_dir / "workload" / "server.lock"
    pid = int(lock.read_text()) if lock.exists() and lock.read_text().strip() else 0
    if pid and tree:
        kill_tree(pid)
    elif pid:
        with suppress(psutil.NoSuchProcess):
            psutil.Process(pid).kill()


@dataclass(frozen=True)
class Stage:
    """A site, what rainbow has on record, and a workload manager that may be replaced."""

    site: Site
    books: Books
    instance: Instance

    def row(self, name: str) -> JobRow:
        """The one job of this name.

        Raises:
            AssertionError: there is none, or there are two.
        """
        found = [row for row in self.site.program.rows() if row.name == name]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} jobs are called {name}")
        return found[0]

    def states(self, name: str) -> dict[str, TaskState]:
        """Of a job's tasks; of one with replicas the last."""
        return {task.key.task: task.state for task in self.row(name).tasks}

    def secret(self) -> str:
        """The secret of the cluster, as it is on disk."""
        return str(self.site.fleet.credentials.cluster_secret)

    def fits(self) -> bool:
        """Whether rainbow's matcher finds the cluster; an error is a no."""
        with suppress(RainbowAgentError):
            return self.site.fleet.fits()
        return False

    def cancellation(self, name: str) -> Cancellation | None:
        """Who asked for a job's end."""
        with self._ledger() as ledger:
            return ledger.cancellation_of(self.row(name).key)

    def reported(self, name: str) -> list[str]:
        """What was reported to rainbow of a job, as the ledger has it, in order."""
        with self._ledger() as ledger:
            lines = ledger.reports_of(self.row(name).key)
        return [line.state for line in lines if line.state is not None]

    def send(self, job: Callable[[Stage, str], dict[str, Any]], name: str) -> None:
        """Have rainbow give the cluster a job."""
        self.site.fleet.send(job(self, name))

    def runs_long(self, name: str) -> None:
        """Send the long job to an agent that is up, and wait until it is accepted and in its sleep.

        Flux says that it runs before its program has begun, which may take long.
        """
        self.send(long, name)
        begun = f"{name} first"
        eventually(
            lambda: self._runs(name) and begun in self.site.written(), f"{name} runs", seconds=60
        )

    def cancel(self, name: str, **settings: str) -> int:
        """Ask for a job's end; how the command ended."""
        words = ("cancel", str(self.row(name).key), "--no-wait", "--reason", "wrong")
        return self.site.program.run(*words, **settings).code

    def stores_wish(self, name: str) -> None:
        """Ask for a job's end, and be killed as soon as the request is stored.

        Raises:
            AssertionError: it was not, or somebody has carried it out.
        """
        code, found = (
            self.cancel(name, **arming(CrashPoint.CANCEL_REQUESTED)),
            self.cancellation(name),
        )
        if code != -signal.SIGKILL or found is None or found.done is not None:
            raise AssertionError(f"`cancel` ended with {code}, the request is {found}")

    def dies_at(self, point: CrashPoint, *, time: int = 1, **settings: str) -> None:
        """Start the agent; it is killed at the point."""
        with self.armed(point, time=time, **settings):
            pass

    @contextmanager
    def armed(self, point: CrashPoint, *, time: int = 1, **settings: str) -> Iterator[Running]:
        """An agent that is killed at the point, which the with block may bring about.

        Raises:
            AssertionError: it was not.
        """
        with self.site.program.background("start", **arming(point, time), **settings) as agent:
            yield agent
            code = agent.wait()
            if code != -signal.SIGKILL:
                raise AssertionError(f"it ended with {code}, not at {point.value}:\n{agent.log()}")

    def finishes(self, *names: str) -> None:
        """Run the agent until these are over and accepted; then kill it.

        Raises:
            AssertionError: they are not in time.
        """
        with self.site.program.background("start") as agent:
            for name in names:
                eventually(partial(self._rests, name), f"{name} is at rest", seconds=60)
            eventually(lambda: not self.site.fleet.waiting(), "rainbow waits for nothing")
            agent.kill()

    def tells_all(self) -> None:
        """Run the agent once more, and stop it in order: rainbow knows the end of every job.

        Raises:
            AssertionError: it was not reported.
        """
        with self.site.program.background("start") as agent:
            agent.says("Caught up")
            if agent.stop():
                raise AssertionError(f"it did not end in order:\n{agent.log()}")
        rows = {row.key.id: row for row in self.site.program.rows()}  # of two with one id the newer
        owed = [r.name for r in rows.values() if self.reported(r.name)[-1:] != [r.state.value]]
        if owed or not rows:
            raise AssertionError(f"no report of the end of {owed}")

    def ending(self, name: str) -> Ending:
        """How a job ended."""
        row = self.row(name)
        lines = [line.split()[1] for line in self.site.written() if line.split()[0] == name]
        with closing(self.site.workload()) as workload:
            jobs = records(history(workload)).values()
        counted = times_submitted(jobs)
        return Ending(
            state=(row.state, row.reason),
            tasks=[
                (t.key.task, t.key.replica, t.state, t.exit_code, _own_reason(t)) for t in row.tasks
            ],
            lines=sorted(lines),
            between=(*lines[:1], *lines[-1:]),
            submitted={(k.task, k.replica): n for k, n in counted.items() if k.job == row.key},
            let_go=self.books.let_go()[row.key.id],
        )

    @contextmanager
    def _ledger(self) -> Iterator[SqliteLedger]:
        path = self.site.program.state_dir / "ledger.sqlite"
        with closing(SqliteLedger.open_readonly(path)) as ledger:
            yield ledger

    def _runs(self, name: str) -> bool:
        found = [row for row in self.site.program.rows() if row.name == name]
        return any(r.state is JobState.RUNNING and r.accepted is not None for r in found)

    def _rests(self, name: str) -> bool:
        if not any(row.name == name for row in self.site.program.rows()):
            return False
        row, request = self.row(name), self.cancellation(name)
        over = row.state in FINAL_JOB_STATES and row.accepted is not None
        return over and (request is None or request.done is not None)


def _own_reason(task: TaskRow) -> str | None:
    """Of a task that depends on others and was canceled, either may be reported: it, or they."""
    return None if task.state is TaskState.CANCELED and task.depends_on else task.reason


def arming(point: CrashPoint, time: int = 1) -> dict[str, str]:
    """Settings of a process that is to die at a point, the how many-th time it comes there."""
    return {"test_crash": f"{point.value}:{time}", "test_crash_allowed": "1"}


@contextmanager
def set_up(
    folder: Path,
    kind: SchedulerKind,
    *,
    flux: bool,
    brokers: int = 1,
    register: bool = True,
    global_token: str = "",
    on_lost: str = "fail",
) -> Iterator[Stage]:
    """A stage; its cluster is registered if that is wanted, and its agent does not run."""
    with ExitStack() as stack:
        private = stack.enter_context(private_flux(size=brokers)) if flux else None
        site = stack.enter_context(
            running_site(
                folder, kind, flux=private or False, global_token=global_token, on_lost=on_lost
            )
        )
        if register and (answer := site.program.run("register")).code:
            raise AssertionError(f"it cannot register: {answer}")
        yield Stage(site, Books(site.scheduler.db), Instance(site.program, private, stack))


def diamond(stage: Stage, name: str) -> dict[str, Any]:
    """Four tasks, one of them with replicas, written last first."""
    writes = stage.site.writes
    tasks = [
        task(writes(f"{name} build"), "build"),
        task(writes(f"{name} left"), "left", depends_on=["build"], replicas=2),
        task(writes(f"{name} right"), "right", depends_on=["build"]),
        task(writes(f"{name} report"), "report", depends_on=["left", "right"]),
    ]
    return jobspec(*reversed(tasks), name=name)


def grouped(stage: Stage, name: str) -> dict[str, Any]:
    """A task, and a group after it with a task and a local task."""
    writes = stage.site.writes
    inside = [
        task(writes(f"{name} inside"), "inside"),
        {"name": "last", "local": True, "command": writes(f"{name} last")}
        | {"depends_on": ["inside"]},
    ]
    document = jobspec(task(writes(f"{name} build"), "build"), name=name)
    group = {"name": "g", "resources": "one", "depends_on": ["build"], "tasks": inside}
    return {**document, "groups": [group]}


def long(stage: Stage, name: str) -> dict[str, Any]:
    """A task that does not end by itself, and one after it."""
    script = 'echo "$1" >> "$2"; exec sleep 600'
    stays = ["sh", "-c", script, "sh", f"{name} first", str(stage.site.marks)]
    after = task(stage.site.writes(f"{name} second"), "second", depends_on=["first"])
    return jobspec(task(stays, "first"), after, name=name)


class Ground:
    """What the stories of one pair of parts run on.

    Args:
        kind: of rainbow.
        flux: whether the workload manager is a real Flux.
        folder: where everything goes.
        stack: ends it.
    """

    def __init__(self, kind: SchedulerKind, folder: Path, stack: ExitStack, *, flux: bool) -> None:
        self.kind, self.flux = kind, flux
        self._folder, self._stack = folder, stack

    @cached_property
    def stage(self) -> Stage:
        """The one that most stories share."""
        return self._stack.enter_context(set_up(self._folder, self.kind, flux=self.flux))

    @cached_property
    def finished(self) -> Ending:
        """How the diamond ends without a kill."""
        self.stage.send(diamond, "reference")
        self.stage.finishes("reference")
        return self.stage.ending("reference")

    @cached_property
    def canceled(self) -> Ending:
        """How the long job ends when it is canceled and no agent is killed."""
        with self.stage.site.program.background("start") as agent:
            self.stage.runs_long("reference-long")
            self.stage.cancel("reference-long")
            agent.stop()
        self.stage.finishes("reference-long")
        return self.stage.ending("reference-long")
