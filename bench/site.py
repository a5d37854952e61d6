"""What the figures are measured on: a scheduler, a workload manager, and agents between them."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from bench.agents import AgentProcess, running_agent
from rainbow_agent.core.ports import Workload
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.jobspec.simple import simple_jobspec
from rainbow_agent.jobspec.wire import to_wire
from rainbow_agent.workload.flux.workload import FluxWorkload
from rainbow_agent.workload.local.workload import LocalWorkload, shut_down
from support.flux import PrivateFlux, flux_command, private_flux
from support.servers import REAL_PROGRAM, SchedulerKind, running_scheduler

#: Submits to every cluster of the scheduler; the scheduler lives as long as the bench.
TOKEN = "bench-token"
SECRET = "bench-secret"
_numbers = count(1)
_T = TypeVar("_T")


def jobspec(*words: str) -> str:
    """The job of every figure: a plain command, as `rainbow-agent submit -- true` sends it."""
    return to_wire(simple_jobspec(["true", *words]))


JOBSPEC = jobspec()


@dataclass(frozen=True)
class Site:
    """A scheduler and a workload manager that run."""

    folder: Path
    host: str  # of the scheduler
    flux: PrivateFlux | None  # None: the local workload manager, one for each agent
    environ: Mapping[str, str]  # for agents
    profile: Path | None = None  # where a flame graph of the agent under load goes
    quick: bool = False  # fewer, shorter rounds: figures to look at, not to compare
    db: Path = Path()  # the scheduler's database

    def pick(self, whole: _T, quick: _T) -> _T:
        """How many or how long: as it is promised, or for a quick look."""
        return quick if self.quick else whole

    @contextmanager
    def agent(self, state_dir: Path | None = None) -> Iterator[AgentProcess]:
        """An agent, in a state folder of its own and as a cluster of its own by default."""
        folder = state_dir or self.folder / f"agent-{next(_numbers)}"
        environ = {**self.environ, "RAINBOW_CLUSTER": folder.name}
        with ExitStack() as stack:
            if self.flux is None:
                stack.callback(shut_down, folder / "workload")
            yield stack.enter_context(running_agent(environ, folder))

    def workload(self, agent: AgentProcess) -> Workload:
        """A connection to the workload manager that an agent uses."""
        if self.flux is not None:
            return FluxWorkload(self.flux.uri)
        return LocalWorkload(agent.state_dir / "workload", launch=False)

    def offer(self, agent: AgentProcess, jobs: int, *, differing: bool) -> None:
        """Submit jobs to rainbow for an agent's cluster: one jobspec again and again, or many."""
        with closing(RainbowScheduler(self.host)) as scheduler:
            for number in range(jobs):
                text = jobspec(str(number)) if differing else JOBSPEC
                self.submit(scheduler, agent, f"bench-{number}", text)

    @staticmethod
    def submit(
        scheduler: RainbowScheduler, agent: AgentProcess, name: str, text: str = JOBSPEC
    ) -> None:
        """Submit one job to rainbow for an agent's cluster."""
        scheduler.submit(name, {agent.state_dir.name: TOKEN}, text)


@contextmanager
def open_site(
    *, quick: bool = False, profile: Path | None = None, embedded: bool = False
) -> Iterator[Site]:
    """The real parts where they are on PATH, the embedded ones otherwise; all on loopback.

    Args:
        quick: for fewer, shorter rounds.
        profile: where a flame graph of the agent goes.
        embedded: the embedded parts, whatever is on PATH.
    """
    real = not embedded and shutil.which(REAL_PROGRAM)
    kind = SchedulerKind.REAL if real else SchedulerKind.EMBEDDED
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rainbow-bench-")))
        server = stack.enter_context(
            running_scheduler(kind, folder, secret=SECRET, global_token=TOKEN)
        )
        log = folder / "flux.log"  # what Flux says of itself is no figure
        flux = None
        if not embedded and flux_command():
            flux = stack.enter_context(private_flux(log=log))
        inherited = flux.environ if flux else os.environ
        environ = {name: v for name, v in inherited.items() if not name.startswith("RAINBOW_")}
        # An installed program has its bytecode: here the first start writes it.
        environ.pop("PYTHONDONTWRITEBYTECODE", None)
        environ |= {
            "RAINBOW_HOST": server.host,
            "RAINBOW_HTTP": "127.0.0.1:0",  # as by default, but for the port: many may run here
            "RAINBOW_SECRET": SECRET,
            "RAINBOW_WORKLOAD": "flux" if flux else "local",
        }
        yield Site(folder, server.host, flux, environ, profile, quick, server.db)
