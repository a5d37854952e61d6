"""ports.Scheduler: a cluster's graph and its subsystems, added, replaced, restored."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from rainbow_agent.core.errors import GraphExists, Rejected, SubsystemExists, SubsystemMissing
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_compspec.cluster import cluster_graph
from rainbow_compspec.simulate import Simulation, simulate
from rainbow_compspec.wire import Form, encode
from support.servers import JOBSPEC, NODES_FREE, Join, make_graph, make_subsystem


def test_a_subsystem_is_there_once(scheduler: RainbowScheduler, join: Join) -> None:
    """Adding it twice is refused, deleting first works, deleting what is not there is refused."""
    name, given = join()
    graph = make_subsystem("spack", {"ior": "3.3.0"})
    scheduler.register_subsystem(name, given.secret, "spack", graph)
    with pytest.raises(SubsystemExists, match="subsystem spack already exists"):
        scheduler.register_subsystem(name, given.secret, "spack", graph)
    scheduler.delete_subsystem(name, given.secret, "spack")
    scheduler.register_subsystem(name, given.secret, "spack", graph)
    with pytest.raises(SubsystemMissing, match="does not have subsystem mpi"):
        scheduler.delete_subsystem(name, given.secret, "mpi")
    stray = graph.replace("node0", "nowhere")
    with pytest.raises(Rejected, match="not connected to the dominant subsystem"):
        scheduler.register_subsystem(name, given.secret, "stray", stray)


def test_the_clusters_own_graph_is_replaced_in_place(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """As subsystem `cluster`: secret, token, state and waiting jobs stay; counts are the new."""
    name, given = join(make_graph(nodes=2))
    scheduler.update_state(name, given.secret, {"nodes_free": 2})
    scheduler.submit("waits", {name: given.token}, JOBSPEC)
    two, four = ({"type": "node", "count": count} for count in (2, 4))
    assert name in scheduler.satisfy({"resources": {"r": two}}).clusters
    for graph in (make_graph(nodes=4), make_graph(nodes=1)):
        with pytest.raises(SubsystemExists, match="subsystem cluster already exists"):
            scheduler.register_subsystem(name, given.secret, "cluster", graph)
        scheduler.delete_subsystem(name, given.secret, "cluster")
        scheduler.register_subsystem(name, given.secret, "cluster", graph)
    need = {"replicas": 2, "with": [{"type": "gpu", "count": 1}]}
    for resource in ({"type": "slot", **need}, {"type": "node", **need}):
        assert name not in scheduler.satisfy({"resources": {"r": resource}}).clusters
    scheduler.delete_subsystem(name, given.secret, "cluster")
    graph = make_graph(nodes=4, gpus=1)
    scheduler.register_subsystem(name, given.secret, "cluster", graph)
    assert name in scheduler.satisfy({"resources": {"r": four}}).clusters
    assert name in scheduler.satisfy({"resources": {"r": {"type": "node", **need}}}).clusters
    assert [offer.name for offer in scheduler.receive(name, given.secret, 0)] == ["waits"]
    chosen = scheduler.submit(
        "job",
        {name: given.token},
        JOBSPEC,
        select="constraint",
        select_options={"priorities": NODES_FREE},
    )
    assert chosen == [name]


def test_subsystems_are_added_again_to_another_graph(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """They hang on the old graph's vertices: gone with them, but for the name."""
    name, given = join()
    before, after = (make_subsystem("spack", {"ior": version}) for version in ("3.3.0", "4.0.0"))
    scheduler.register_subsystem(name, given.secret, "spack", before)
    scheduler.delete_subsystem(name, given.secret, "cluster")
    scheduler.register_subsystem(name, given.secret, "cluster", make_graph())

    def matches(version: str) -> set[bool]:
        entry = {"name": "spack", "field": "ior", "match": version}
        need = {"type": "node", "count": 1, "requires": [entry]}
        asked = {"resources": {"r": {**need, "replicas": 1, "with": [{"type": "core"}]}}}
        return {name in scheduler.satisfy(asked).clusters for _ in range(30)}

    assert matches("3.3.0") == {False}
    with pytest.raises(SubsystemExists):
        scheduler.register_subsystem(name, given.secret, "spack", after)
    scheduler.delete_subsystem(name, given.secret, "spack")
    scheduler.register_subsystem(name, given.secret, "spack", after)
    assert matches("4.0.0") == {True}
    assert matches("3.3.0") == {False}


def test_one_vertex_that_all_nodes_share_can_be_replaced(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """The real server keeps old edges, but a single vertex always takes the old one's place."""
    name, given = join()

    def shared(version: str) -> str:
        graph = json.loads(make_subsystem("spack", {"ior": version}, nodes=1))
        graph["graph"]["edges"] = [
            {"source": f"node{i}", "target": "spack0", "relation": "contains"} for i in range(2)
        ]
        return json.dumps(graph)

    def matches(version: str) -> set[bool]:
        entry = {"name": "spack", "field": "ior", "match": version}
        need = {"type": "node", "replicas": 2, "requires": [entry], "with": [{"type": "core"}]}
        return {name in scheduler.satisfy({"resources": {"r": need}}).clusters for _ in range(30)}

    scheduler.register_subsystem(name, given.secret, "spack", shared("3.3.0"))
    for _ in range(3):
        for old, new in (("3.3.0", "4.0.0"), ("4.0.0", "3.3.0")):
            scheduler.delete_subsystem(name, given.secret, "spack")
            scheduler.register_subsystem(name, given.secret, "spack", shared(new))
            assert (matches(new), matches(old)) == ({True}, {False})


def test_a_broken_graph_never_reaches_the_server_as_a_replacement(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """A loose edge there would end the real server's process."""
    name, given = join()
    loose = make_graph().replace('"target": "node0"', '"target": "gone"')
    with pytest.raises(Rejected, match="an edge to a node that is not in it"):
        scheduler.register_subsystem(name, given.secret, "cluster", loose)
    assert scheduler.receive(name, given.secret, 0) == []


def test_restoring_a_graph_that_is_there_is_rejected(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """The server says `already exists`, so that the caller can see that all is well."""
    name, _ = join()
    with pytest.raises(GraphExists):
        scheduler.restore_graph(name, make_graph())


@pytest.mark.parametrize("form", [Form.FULL, Form.COMPACT, Form.POOLED])
def test_racks_are_found_by_those_who_ask_for_them(
    scheduler: RainbowScheduler, join: Join, form: Form
) -> None:
    """As other clients write them; nodes and cores are found below them as well."""
    made = simulate(Simulation(nodes=4, sockets=1, cores=64))
    racked = [replace(facts, rack=f"r{place // 2}") for place, facts in enumerate(made)]
    graph = cluster_graph("blue", racked)
    limit = 4_000_000
    while (sent := encode(graph, limit)).form is not form:
        limit = len(sent.text) - 1
    name, _ = join(sent.text)

    def fits(racks: int, nodes: int, cores: int) -> bool:
        node = {"type": "node", "count": nodes, "with": [{"type": "core", "count": cores}]}
        resource = {"type": "rack", "count": racks, "with": [node]}
        return name in scheduler.satisfy({"resources": {"r": resource}}).clusters

    assert fits(1, 1, 64)
    assert fits(2, 2, 64)
    assert not fits(3, 1, 1)
    assert not fits(1, 5, 1)
