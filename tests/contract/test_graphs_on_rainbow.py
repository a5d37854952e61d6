"""The graphs on the real rainbow server: each registers, and jobs match where they should."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings

from rainbow_agent.core.model import Credentials
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_compspec import jgf
from rainbow_compspec.cluster import ClusterGraph, cluster_graph
from rainbow_compspec.errors import CompspecError
from rainbow_compspec.facts import NodeFacts, Package
from rainbow_compspec.simulate import Simulation, simulate
from rainbow_compspec.subsystems import SUBSYSTEMS, subsystem_graph
from rainbow_compspec.wire import Form, encode
from support.compspec_facts import machines
from support.servers import SchedulerKind, SchedulerProcess, running_scheduler

MISSING: Final = SchedulerKind.REAL.missing()
pytestmark = [pytest.mark.rainbow, pytest.mark.skipif(bool(MISSING), reason=MISSING or "-")]

_names = (f"cluster-{number}" for number in count())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SchedulerProcess]:
    """The real server."""
    with running_scheduler(SchedulerKind.REAL, tmp_path_factory.mktemp("rainbow")) as process:
        yield process


@pytest.fixture(scope="module")
def rainbow(server: SchedulerProcess) -> Iterator[RainbowScheduler]:
    """A connection to it; a graph of 4 MiB takes it a second or more."""
    scheduler = RainbowScheduler(server.host, timeout=60)
    yield scheduler
    scheduler.close()


@pytest.fixture
def registered(server: SchedulerProcess, rainbow: RainbowScheduler) -> Registered:
    """Registers cluster graphs."""
    return Registered(server, rainbow)


class Registered:
    """Clusters on the server, each for the length of a with block."""

    def __init__(self, server: SchedulerProcess, rainbow: RainbowScheduler) -> None:
        self._secret = server.secret
        self._rainbow = rainbow

    @contextmanager
    def __call__(self, text: str) -> Iterator[tuple[str, Credentials]]:
        """Register a graph; the cluster's name and credentials."""
        name = next(_names)
        credentials = self._rainbow.register(name, self._secret, text)
        try:
            yield name, credentials
        finally:
            self._rainbow.deregister(name, credentials.secret)


def _job(resource: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "version": 1,
        "resources": {"r": dict(resource)},
        "tasks": [{"command": ["true"], "resources": "r"}],
    }


def _inside(cores: int, gpus: int) -> list[dict[str, Any]]:
    sizes = (("core", cores), ("gpu", gpus))
    return [{"type": type_, "count": size} for type_, size in sizes if size]


def _requires(nodes: int, *entries: Mapping[str, str]) -> dict[str, Any]:
    requires = [dict(entry) for entry in entries]
    return _job({"type": "node", "count": nodes, "requires": requires, "with": _inside(4, 0)})


def _matches(rainbow: RainbowScheduler, job: Mapping[str, Any]) -> bool:
    return rainbow.satisfy(job).total_matches == 1


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(machine=machines())
def test_every_graph_registers_in_every_form(
    machine: tuple[NodeFacts, ...], registered: Registered, rainbow: RainbowScheduler
) -> None:
    """Cluster and subsystems, from the full form down to the shortest, and the nodes are found."""
    graph = cluster_graph("any", machine)
    for text in _forms(graph):
        with registered(text) as (name, credentials):
            for subsystem in SUBSYSTEMS:
                made = subsystem_graph(subsystem, machine, graph.node_ids)
                for form in () if made.empty else _forms(made):
                    rainbow.register_subsystem(name, credentials.secret, subsystem, form)
                    rainbow.delete_subsystem(name, credentials.secret, subsystem)
            assert _matches(rainbow, _job({"type": "node", "count": len(machine)}))
            assert not _matches(rainbow, _job({"type": "node", "count": len(machine) + 1}))


def _forms(graph: jgf.Graph) -> Iterator[str]:
    """The text of every form that there is of a graph."""
    seen: set[Form] = set()
    limit = 1_000_000
    while True:
        try:
            sent = encode(graph, limit)
        except CompspecError:
            return
        if sent.form not in seen:
            yield sent.text
        seen.add(sent.form)
        limit = len(sent.text) - 1


def _half_jobs(nodes: int) -> dict[str, dict[str, Any]]:
    """Jobs for half of the cluster's nodes, all of their cores and GPUs, as people write them."""
    half, inside = max(1, nodes // 2), _inside(64, 8)
    node = {"type": "node", "count": 1, "with": inside}
    return {
        "count": _job({"type": "node", "count": half, "with": inside}),
        "replicas of a node": _job({"type": "node", "replicas": half, "with": inside}),
        "replicas of a slot": _job({"type": "slot", "replicas": half, "with": [node]}),
        "slots of a core and a GPU": _job(
            {"type": "slot", "replicas": half, "with": _inside(1, 1)}
        ),
    }


@pytest.mark.parametrize("nodes", [1, 10, 600, 2_000, 10_000])
def test_a_job_for_half_of_the_nodes_matches(
    nodes: int, registered: Registered, rainbow: RainbowScheduler
) -> None:
    """Nodes of 64 cores and 8 GPUs, in whichever form they fit; more than all nodes never match."""
    graph = _simulated(nodes)
    with registered(encode(graph).text):
        answers = {how: _matches(rainbow, job) for how, job in _half_jobs(nodes).items()}
        assert answers == dict.fromkeys(answers, True)
        too_many = {"type": "node", "count": nodes + 1, "with": _inside(64, 8)}
        assert not _matches(rainbow, _job(too_many))


def _simulated(nodes: int) -> ClusterGraph:
    return cluster_graph("blue", simulate(Simulation(nodes=nodes, sockets=2, cores=64, gpus=8)))


@pytest.mark.parametrize("limit", [7_500, 15_000, 40_000, 100_000, 130_000])
def test_pooled_cores_give_the_slots_that_they_promise(
    limit: int, registered: Registered, rainbow: RainbowScheduler
) -> None:
    """With p core vertices a node, p slots a node match, and what they need adds up."""
    nodes = 20
    sent = encode(_simulated(nodes), limit)
    assert sent.form is Form.POOLED
    assert sent.most is not None
    with registered(sent.text):
        slots = {"type": "slot", "replicas": nodes * sent.most, "with": _inside(1, 0)}
        assert _matches(rainbow, _job(slots))
        assert _matches(rainbow, _job({"type": "node", "count": nodes, "with": _inside(1280, 160)}))
        assert not _matches(rainbow, _job({"type": "node", "count": 1, "with": _inside(1281, 0)}))


def _software(nodes: int) -> tuple[NodeFacts, ...]:
    """Nodes of 300 packages; only the first also has ior."""
    made = simulate(Simulation(nodes=nodes, sockets=2, cores=16, packages=299))
    ior = (*made[0].packages, Package("ior", "3.3.0"), Package("ior", "3.2.1"))
    return (replace(made[0], packages=ior), *made[1:])


TRIES: Final = 200


@pytest.mark.parametrize("form", [Form.FULL, Form.SHARED])
def test_requirements_hold_every_time(
    form: Form, registered: Registered, rainbow: RainbowScheduler
) -> None:
    """300 packages: what is there matches in 200 of 200 tries, what is not there in none."""
    nodes = _software(4)
    cluster = cluster_graph("blue", nodes)
    graph = subsystem_graph("spack", nodes, cluster.node_ids)
    full = jgf.dumps(graph)
    sent = encode(graph, len(full) if form is Form.FULL else len(full) - 1)
    assert sent.form is form
    expected = {
        "exact": (True, {"field": "package-7", "match": "8.0.2"}),
        "one of several": (True, {"field": "ior@3.2.1", "match": "yes"}),
        "range": (True, {"field": "ior", "min": "3.0.0", "max": "4.0.0"}),
        "other version": (False, {"field": "package-7", "match": "8.0.3"}),
        "outside the range": (False, {"field": "ior", "min": "3.3.1", "max": "4.0.0"}),
        "not installed": (False, {"field": "lammps", "min": "1.0"}),
    }
    with registered(encode(cluster).text) as (name, credentials):
        rainbow.register_subsystem(name, credentials.secret, "spack", sent.text)
        for what, (wanted, entry) in expected.items():
            job = _requires(1, {"name": "spack", **entry})
            answers = [_matches(rainbow, job) for _ in range(TRIES)]
            assert answers == [wanted] * TRIES, what


def test_hardware_requirements(registered: Registered, rainbow: RainbowScheduler) -> None:
    """Every subsystem's fields are found under their names in use."""
    nodes = simulate(Simulation(nodes=2, sockets=2, cores=16, gpus=2, memory=512))
    cluster = cluster_graph("blue", nodes)
    expected = {
        ("system", "cpu.target", "amd64"): True,
        ("system", "cpu.target", "arm64"): False,
        ("io.archspec", "cpu.target", "amd64"): True,
        ("io.archspec", "x86_64_v3", "yes"): True,
        ("hardware", "hardware.gpu.available", "yes"): True,
        ("hardware", "hardware.gpu.available", "no"): False,
        ("os", "os.name", "ubuntu"): True,
        ("mpi", "mpi.implementation", "openmpi"): False,
    }
    with registered(encode(cluster).text) as (name, credentials):
        for subsystem in SUBSYSTEMS:
            graph = subsystem_graph(subsystem, nodes, cluster.node_ids)
            if not graph.empty:
                text = encode(graph).text
                rainbow.register_subsystem(name, credentials.secret, subsystem, text)
        answers = {
            (subsystem, field, value): _matches(
                rainbow, _requires(2, {"name": subsystem, "field": field, "match": value})
            )
            for subsystem, field, value in expected
        }
        assert answers == expected
        range_ = {"name": "hardware", "field": "memory.gib", "min": "256"}
        assert _matches(rainbow, _requires(2, range_))


@pytest.mark.parametrize(
    "field", ["size", "rank", "id", "uniq_id", "exclusive", "paths", "unit", "type", "name"]
)
def test_no_field_ends_the_server(
    field: str, registered: Registered, rainbow: RainbowScheduler
) -> None:
    """A job that requires an element which is no string would end its process, for everyone."""
    nodes = _software(1)
    cluster = cluster_graph("blue", nodes)
    with registered(encode(cluster).text) as (name, credentials):
        graph = encode(subsystem_graph("spack", nodes, cluster.node_ids)).text
        rainbow.register_subsystem(name, credentials.secret, "spack", graph)
        entry = {"name": "spack", "field": field, "match": "nothing is called so"}
        assert not _matches(rainbow, _requires(1, entry))
        assert _matches(rainbow, _job({"type": "node", "count": 1}))
