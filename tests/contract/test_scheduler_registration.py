"""ports.Scheduler: who may register, what that gives, who may do what."""

from __future__ import annotations

from pathlib import Path

import pytest

from rainbow_agent.core.errors import ClusterExists, Rejected, RequestDenied, UsageError
from rainbow_agent.fleet.grpc import rpc
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.grpc.stubs import rainbow_pb2
from rainbow_agent.jobspec import wire
from support.servers import (
    JOBSPEC,
    Join,
    SchedulerKind,
    SchedulerProcess,
    make_graph,
    make_subsystem,
    new_cluster,
    served,
)


def test_registration_gives_a_secret_once(
    shared: tuple[SchedulerProcess, RainbowScheduler], join: Join
) -> None:
    """The first registration of a name gives secret and token, the second neither."""
    process, scheduler = shared
    name, given = join()
    assert given.secret
    assert given.token
    assert given.secret != given.token
    with pytest.raises(ClusterExists):
        scheduler.register(name, process.secret, make_graph())


def test_a_wrong_registration_secret_is_denied(scheduler: RainbowScheduler) -> None:
    """Only who knows the scheduler's secret can register."""
    for wrong in ("", "wrong"):
        with pytest.raises(RequestDenied):
            scheduler.register("intruder", wrong, make_graph())


def test_a_wrong_cluster_secret_is_denied(scheduler: RainbowScheduler, join: Join) -> None:
    """No cluster reads, takes or describes another's things, or an unknown one's."""
    name, given = join()
    _, other = join()
    for cluster, secret in ((name, other.secret), (name, given.token), ("unknown", given.secret)):
        with pytest.raises(RequestDenied):
            scheduler.receive(cluster, secret, 1)
        with pytest.raises(RequestDenied):
            scheduler.accept(cluster, secret, [1])
        with pytest.raises(RequestDenied):
            scheduler.update_state(cluster, secret, {"nodes_free": 1})
        with pytest.raises(RequestDenied):
            scheduler.deregister(cluster, secret)
        with pytest.raises(RequestDenied):
            scheduler.register_subsystem(cluster, secret, "spack", make_subsystem("spack", {}))


def test_a_wrong_token_is_denied(scheduler: RainbowScheduler, join: Join) -> None:
    """A job needs the token of each cluster that it names."""
    name, given = join()
    other, others = join()
    for clusters in ({name: "wrong"}, {"unknown": given.token}, {name: given.token, other: "no"}):
        with pytest.raises(RequestDenied):
            scheduler.submit("job", clusters, JOBSPEC)
    with pytest.raises(Rejected, match="authenticated clusters are required"):
        scheduler.submit("job", {}, JOBSPEC)
    assert scheduler.receive(other, others.secret, 0) == []


def test_deregistering_frees_the_name(
    shared: tuple[SchedulerProcess, RainbowScheduler], join: Join
) -> None:
    """After it the old secret is worth nothing and the name can be had again."""
    process, scheduler = shared
    name, given = join()
    scheduler.deregister(name, given.secret)
    with pytest.raises(RequestDenied):
        scheduler.receive(name, given.secret, 0)
    again = scheduler.register(name, process.secret, make_graph())
    assert again.secret != given.secret


@pytest.mark.parametrize(
    "graph",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"graph": {"nodes": {}, "edges": []}}',
        '{"graph": {"nodes": {"0": {}}, "edges": []}}',
        make_graph().replace('"target": "node0"', '"target": "gone"'),
    ],
)
def test_a_broken_graph_does_not_cost_the_name(
    shared: tuple[SchedulerProcess, RainbowScheduler], graph: str
) -> None:
    """A graph that the server would refuse too late is refused before; the name stays free."""
    process, scheduler = shared
    name = new_cluster()
    with pytest.raises(Rejected):
        scheduler.register(name, process.secret, graph)
    assert scheduler.register(name, process.secret, make_graph()).secret


def test_a_global_token_submits_to_every_cluster(tmp_path: Path, kind: SchedulerKind) -> None:
    """With --global-token every cluster has that one as its token."""
    with served(kind, tmp_path, global_token="jelly") as (process, scheduler):
        given = scheduler.register("blue", process.secret, make_graph())
        assert given.token == "jelly"
        assert scheduler.submit("job", {"blue": "jelly"}, JOBSPEC) == ["blue"]


@pytest.mark.rainbow
@pytest.mark.parametrize("name", ["name", "token", "secret", "rowid", "oid"])
def test_names_of_columns_are_no_cluster_names(tmp_path: Path, name: str) -> None:
    """The real server denies such a cluster its own jobs: the reason why we refuse the name."""
    with pytest.raises(UsageError, match="column"):
        wire.check_cluster_name(name)
    if SchedulerKind.REAL.missing():
        pytest.skip(SchedulerKind.REAL.missing())
    with served(SchedulerKind.REAL, tmp_path) as (process, scheduler):
        scheduler.register("another", process.secret, make_graph())
        asked = rainbow_pb2.RegisterRequest(name=name, secret=process.secret, nodes=make_graph())
        given = scheduler._call(rpc.REGISTER, asked)
        with pytest.raises(RequestDenied):
            scheduler.receive(name, given.secret, 0)
