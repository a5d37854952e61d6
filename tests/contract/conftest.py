"""What the contracts run over: workload managers, schedulers, a ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from rainbow_agent.core.model import Credentials
from rainbow_agent.core.workload_values import Submitted
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.workload.flux.workload import FluxWorkload
from rainbow_agent.workload.local.workload import LocalWorkload, shut_down
from support.flux import NO_FLUX, flux_command, private_flux
from support.groups import GroupSite
from support.ledger import checked_ledger
from support.places import Client, Place
from support.servers import Join, SchedulerKind, SchedulerProcess, make_graph, new_cluster, served

CORES = 2 * (os.cpu_count() or 1)  # Flux: two brokers, each with all cores of the machine


def started_flux(stack: ExitStack, folder: Path) -> Place:
    if flux_command() is None:
        pytest.skip(NO_FLUX)
    # A group that was canceled has longer to end than Flux's 5 s: on a busy machine its broker
    # would be killed before it has ended its own jobs.
    flux = stack.enter_context(private_flux(size=2, options=["--conf=exec.kill-timeout=2m"]))
    return Place("flux", flux.uri, CORES, lambda: FluxWorkload(flux.uri))


def started_local(stack: ExitStack, folder: Path) -> Place:
    stack.callback(shut_down, folder)
    # The first to connect starts the server.
    return Place("local", str(folder), CORES, lambda: LocalWorkload(folder, cores=CORES))


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(started_local, id="local"),
        pytest.param(started_flux, id="flux", marks=pytest.mark.flux),
    ],
)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A workload manager for all tests."""
    with ExitStack() as stack:
        yield request.param(stack, tmp_path_factory.mktemp("workload"))


@pytest.fixture
def client(place: Place) -> Iterator[Client]:
    """A client whose jobs are ended after the test."""
    with closing(place.open()) as workload, closing(workload.open_journal()) as journal:
        client = Client(workload, journal)
        yield client
        taken = [o.flux_id for o in client.outcomes.values() if isinstance(o, Submitted)]
        workload.cancel(taken, "the test is over")


@pytest.fixture
def site(place: Place, tmp_path: Path) -> GroupSite:
    """An empty folder over a workload manager."""
    return GroupSite(place, tmp_path)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[SqliteLedger]:
    """An empty one; its rules are checked after the test."""
    with checked_ledger(tmp_path / "ledger.sqlite") as ledger:
        yield ledger


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(SchedulerKind.EMBEDDED, id="embedded"),
        pytest.param(SchedulerKind.REAL, id="rainbow", marks=pytest.mark.rainbow),
    ],
)
def kind(request: pytest.FixtureRequest) -> SchedulerKind:
    """Our own scheduler, and the real one."""
    found: SchedulerKind = request.param
    if found.missing():
        pytest.skip(found.missing())
    return found


@pytest.fixture(scope="module")
def shared(
    kind: SchedulerKind, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[SchedulerProcess, RainbowScheduler]]:
    """One running scheduler for the tests that do not restart it; clusters keep them apart."""
    with served(kind, tmp_path_factory.mktemp(kind.value)) as found:
        yield found


@pytest.fixture
def own(kind: SchedulerKind, tmp_path: Path) -> Iterator[tuple[SchedulerProcess, RainbowScheduler]]:
    """A running scheduler for one test."""
    with served(kind, tmp_path) as found:
        yield found


@pytest.fixture
def scheduler(shared: tuple[SchedulerProcess, RainbowScheduler]) -> RainbowScheduler:
    """A client of the shared one."""
    return shared[1]


@pytest.fixture
def join(shared: tuple[SchedulerProcess, RainbowScheduler]) -> Join:
    """Registers a cluster under a name that no other test has."""
    process, scheduler = shared

    def register(graph: str | None = None) -> tuple[str, Credentials]:
        name = new_cluster()
        return name, scheduler.register(name, process.secret, graph or make_graph())

    return register
