"""For tests: one cluster with all that it needs, for as long as a with block.

The workload manager is a server of its own here, so that it outlives the agent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rainbow_agent.core.model import JobRow
from rainbow_agent.core.ports import Workload
from rainbow_agent.core.states import TaskState
from rainbow_agent.workload.flux.workload import FluxWorkload
from rainbow_agent.workload.local.workload import LocalWorkload
from support.common import eventually
from support.fleet import Fleet
from support.flux import NO_FLUX, PrivateFlux, flux_command, private_flux
from support.program import Program, installed
from support.servers import SchedulerKind, SchedulerProcess, running_scheduler

#: Of the local workload manager.
LOCAL_CORES: Final = 4


@dataclass(frozen=True)
class Site:
    """A rainbow, an agent's program that is not started yet, and a file that tasks write to."""

    scheduler: SchedulerProcess
    program: Program
    fleet: Fleet
    marks: Path

    def writes(self, line: str) -> list[str]:
        """A command that appends a line to the file: O_APPEND, so none is lost or mixed up."""
        return ["sh", "-c", 'echo "$1" >> "$2"', "sh", line, str(self.marks)]

    def written(self) -> list[str]:
        """The lines in the file, in order."""
        return self.marks.read_text().splitlines() if self.marks.exists() else []

    def open_states(self) -> Counter[TaskState]:
        """How many tasks of jobs with reports due are in which state."""
        return Counter(t.state for row in self.unreported() for t in row.tasks)

    def unreported(self) -> list[JobRow]:
        """Jobs in the ledger whose acceptance is not."""
        return [row for row in self.program.rows() if row.accepted is None]

    def workload(self) -> Workload:
        """A connection to the workload manager, to look at it from outside; to be closed."""
        uri = self.program.environ.get("FLUX_URI")
        if uri:
            return FluxWorkload(uri)
        return LocalWorkload(self.program.state_dir / "workload", cores=LOCAL_CORES)

    def serve(self, jobs: int) -> None:
        """Run the agent until so many jobs are over and reported, then kill it."""
        with self.program.background("start") as agent:
            self.program.await_end(jobs)
            eventually(lambda: not self.unreported(), "rainbow has all reports")
            agent.kill()


def missing_parts(kind: SchedulerKind, *, flux: bool) -> str:
    """Why a site cannot be had here; "" when it can."""
    return kind.missing() or (NO_FLUX if flux and flux_command() is None else "")


@contextmanager
def running_site(
    folder: Path,
    kind: SchedulerKind = SchedulerKind.EMBEDDED,
    *,
    flux: bool | PrivateFlux = False,
    environ: Mapping[str, str] | None = None,
    global_token: str = "",
    **settings: object,
) -> Iterator[Site]:
    """A site.

    Args:
        folder: where everything of it goes.
        kind: of its rainbow.
        flux: whether its workload manager is a Flux of its own, or the local one; or the Flux.
        environ: further variables for the program.
        global_token: submits to every cluster of this rainbow; "" gives each its own.
        settings: further RAINBOW_* variables, as of Program.
    """
    with ExitStack() as stack:
        scheduler = stack.enter_context(running_scheduler(kind, folder, global_token=global_token))
        found = dict(environ or {})
        defaults: dict[str, object] = {
            "host": scheduler.host,
            "cluster": "blue",
            "secret": scheduler.secret,
            "poll_min": 0.02,
            "poll_max": 0.2,
            "report_every": 0.5,
            "timeout": 60,  # of a call to rainbow: a busy machine makes a test slow, not red
        }
        if isinstance(flux, PrivateFlux):
            found["FLUX_URI"] = flux.uri
        elif flux:
            found["FLUX_URI"] = stack.enter_context(private_flux()).uri
        else:
            defaults |= {"workload": "local", "local_cores": LOCAL_CORES}
        program = stack.enter_context(installed(folder, environ=found, **{**defaults, **settings}))
        yield Site(scheduler, program, Fleet(scheduler.host, program.config), folder / "marks")
