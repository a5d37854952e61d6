"""For tests of `doctor`: a machine on which all is well, for a test to break."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.cli.common import from_config
from rainbow_agent.cli.doctor import workload as workloads
from rainbow_agent.cli.doctor.examine import examine
from rainbow_agent.cli.doctor.faults import Finding
from rainbow_agent.core.node_resources import NodeView, PoolView
from rainbow_agent.core.obstacles import Obstacle, ObstacleKind
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.monitoring.status_sources import look
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import agent_lock, runtime_file
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.workload.flux import bindings as flux_bindings
from rainbow_agent.workload.local.workload import shut_down
from support.ledger import add_job
from support.servers import SchedulerProcess, make_graph
from support.site import Site, running_site


@contextmanager
def registered_site(folder: Path) -> Iterator[Site]:
    """A site whose cluster is registered."""
    with running_site(folder) as site:
        registered = site.program.run("register")
        if registered.code:
            raise AssertionError(f"it cannot register: {registered}")
        yield site


@dataclass
class Patient:
    """Somebody's machine: a registered cluster, all well, for a test to break."""

    folder: Path
    scheduler: SchedulerProcess
    monkeypatch: pytest.MonkeyPatch
    environ: dict[str, str] = field(default_factory=dict)
    run_job: bool = False
    heals: list[Callable[[], None]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        """The state folder."""
        return self.folder / "state"

    def set(self, **settings: object) -> None:
        """RAINBOW_* variables by the rest of their names."""
        self.environ |= {f"RAINBOW_{name.upper()}": str(v) for name, v in settings.items()}

    def look(self) -> list[Finding]:
        """What doctor finds."""

        def status(settings: Settings) -> Mapping[str, Any]:
            return look(settings, SystemClock().now())

        return [*examine(self.environ, {}, from_config, status, run_job=self.run_job)]

    def load_graph(self) -> None:
        """Rainbow has the graph again."""
        with closing(RainbowScheduler(self.scheduler.host)) as rainbow:
            rainbow.restore_graph("blue", make_graph())

    def fake_flux(self) -> None:
        """A `flux` on PATH that is none."""
        program = self.folder / "bin" / "flux"
        program.parent.mkdir()
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o700)
        path = f"{program.parent}:/usr/bin:/bin"
        self.environ |= {"PATH": path}
        self.monkeypatch.setenv("PATH", path)
        none = flux_bindings._load
        self.monkeypatch.setattr(flux_bindings, "_load_once", lambda: none([], {}))


def hold(patient: Patient, age: float, conditions: list[dict[str, Any]]) -> None:
    """As a daemon that said something so long ago."""
    now = SystemClock().now()
    holder = agent_lock.Holder(os.getpid(), now - age - 1)
    lock = agent_lock.Lock.take(patient.state, holder)
    patient.monkeypatch.setattr(patient, "lock", lock, raising=False)  # kept for the test
    runtime = {"heartbeat": now - age, "conditions": conditions}
    runtime_file.write_runtime(patient.state, runtime)


def pretend_flux(
    patient: Patient,
    *,
    version: str = "",
    error: Exception | None = None,
    obstacles: Sequence[Obstacle] = (),
) -> None:
    """A Flux whose bindings load, and an instance as configured."""
    patient.fake_flux()
    patient.set(workload="flux")
    bindings = flux_bindings.Bindings(None, None, "0.88.0", patient.folder)
    patient.monkeypatch.setattr(flux_bindings, "load", lambda: bindings)

    class Pretended:
        kind, uri = "flux", "local:///pretended"

        def __init__(self) -> None:
            self.version = version

        def resources(self) -> Any:
            if error:
                raise error
            return PoolView((NodeView(0, "a", 4, 0),))

        def obstacles(self, *, trial: bool = False) -> list[Obstacle]:
            refusal = ObstacleKind.REFUSES_ALL
            return [each for each in obstacles if trial or each.kind is not refusal]

        def close(self) -> None:
            pass

    patient.monkeypatch.setattr(workloads, "FluxWorkload", Pretended)
    patient.monkeypatch.setattr(workloads, "_open", lambda *_, **__: Pretended())


@contextmanager
def well_patient(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Patient]:
    """A registered cluster with one job, in a folder of its own; what was done to it is undone."""
    patient = Patient(tmp_path, site.scheduler, monkeypatch)
    patient.state.mkdir(mode=0o700)
    config = patient.state / "rainbow-config.yaml"
    config.write_bytes(site.program.config.read_bytes())
    config.chmod(0o600)
    with closing(SqliteLedger.open(patient.state / "ledger.sqlite")) as ledger:
        add_job(ledger, 1, "a")
    patient.environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    patient.set(
        state_dir=patient.state,
        host=site.scheduler.host,
        cluster="blue",
        secret=site.scheduler.secret,
        workload="local",
        local_cores=2,
    )
    yield patient
    for heal in patient.heals:
        heal()
    if (patient.state / "workload").is_dir():
        shut_down(patient.state / "workload")
