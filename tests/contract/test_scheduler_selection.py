"""ports.Scheduler: which cluster a job goes to, and which could run it."""

from __future__ import annotations

import pytest

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.reporter import state_payload
from support.servers import JOBSPEC, NODES_FREE, Join, make_graph, make_subsystem


def test_state_decides_the_selection_and_merges(scheduler: RainbowScheduler, join: Join) -> None:
    """A cluster that reported no free nodes is not chosen; keys stay when others come."""
    name, given = join()

    def submit() -> list[str]:
        return scheduler.submit(
            "job",
            {name: given.token},
            JOBSPEC,
            select="constraint",
            select_options={"priorities": NODES_FREE},
        )

    with pytest.raises(Rejected, match="no clusters passed selection"):
        submit()
    scheduler.update_state(name, given.secret, {"nodes_free": 2, "nested": {"list": [1, None]}})
    assert submit() == [name]
    scheduler.update_state(name, given.secret, {"cost_per_node_hour": 1.5})
    scheduler.update_state(name, given.secret, {})
    assert submit() == [name]


def test_an_unknown_algorithm_is_rejected(scheduler: RainbowScheduler, join: Join) -> None:
    """The server names the algorithm that it does not have."""
    name, given = join()
    with pytest.raises(Rejected, match="did not find algorithm named best"):
        scheduler.submit("job", {name: given.token}, JOBSPEC, select="best")


def test_satisfy_only_stores_nothing(scheduler: RainbowScheduler, join: Join) -> None:
    """All clusters that could be chosen come back, and no job is anywhere."""
    one, first = join()
    two, second = join()
    clusters = {one: first.token, two: second.token}
    assert set(scheduler.submit("job", clusters, JOBSPEC, satisfy_only=True)) == {one, two}
    assert scheduler.receive(one, first.secret, 0) == []
    assert scheduler.receive(two, second.secret, 0) == []


def test_satisfy_knows_large_from_small(scheduler: RainbowScheduler, join: Join) -> None:
    """Clusters match by what they contain; the three numbers add up."""
    small, _ = join(make_graph(nodes=1, cores=2))
    large, _ = join(make_graph(nodes=3, cores=2, gpus=1))
    with_gpu = [{"type": "core", "count": 2}, {"type": "gpu", "count": 1}]
    jobspec = {"resources": {"r": {"type": "node", "count": 3, "with": with_gpu}}}
    answer = scheduler.satisfy(jobspec)
    assert large in answer.clusters
    assert small not in answer.clusters
    assert answer.total_matches == len(answer.clusters)
    assert answer.total_matches + answer.total_mismatches == answer.total_clusters
    everywhere = scheduler.satisfy({"version": 1, "tasks": [{"command": "a string"}]})
    assert {small, large} <= set(everywhere.clusters)


def test_satisfy_refuses_what_it_cannot_read(scheduler: RainbowScheduler) -> None:
    """A jobspec of the older draft, with a list of resources, is an error of the request."""
    for resources in ([{"type": "node"}], {"r": {"type": "node", "count": "many"}}):
        with pytest.raises(Rejected):
            scheduler.satisfy({"resources": resources})


@pytest.mark.parametrize(
    ("entry", "matches"),
    [
        ({"field": "ior", "match": "3.3.0"}, True),
        ({"field": "ior", "match": "3.3.1"}, False),
        ({"field": "ior", "min": "3.0.0", "max": "4.0.0"}, True),
        ({"field": "ior", "min": "3.3.0", "max": "3.3.0"}, True),
        ({"field": "ior", "min": "3.4.0"}, False),
        ({"field": "ior", "max": "3.2.9"}, False),
        ({"field": "ior", "min": 3.0}, True),
        ({"field": "ior", "max": "3"}, True),
        ({"field": "word", "min": "1.0.0"}, False),
        ({"field": "absent", "match": "x"}, False),
    ],
)
def test_requires_looks_at_subsystems(
    scheduler: RainbowScheduler, join: Join, entry: dict[str, object], matches: bool
) -> None:
    """A field of the one subsystem vertex on a node is compared exactly, or as a version."""
    name, given = join()
    graph = make_subsystem("spack", {"ior": "3.3.0", "word": "three"})
    scheduler.register_subsystem(name, given.secret, "spack", graph)
    need = {"type": "node", "count": 1, "requires": [{"name": "spack", **entry}]}
    assert (name in scheduler.satisfy({"resources": {"r": need}}).clusters) is matches


def test_the_filter_for_clusters_that_take_jobs_works_over_both(
    scheduler: RainbowScheduler, join: Join
) -> None:
    """`taking` is a number or a text (fleet.reporter): what docs/commands.md gives to others."""
    tokens = {}
    for draining in (False, True):
        name, given = join()
        state = state_payload(
            pool=None,
            memory_per_node=None,
            counts=dict.fromkeys(JobState, 0),
            recent=[],
            operator={},
            at=1.0,
            draining=draining,
        )
        scheduler.update_state(name, given.secret, state)
        tokens[name] = given.token
    takes, _ = tokens
    priorities = "- priority: 1\n  steps:\n  - filter: 'taking > 0'\n  - select: random\n"
    for order in (tokens, dict(reversed(tokens.items()))):
        chosen = scheduler.submit(
            "job",
            order,
            JOBSPEC,
            select="constraint",
            select_options={"priorities": priorities},
        )
        assert chosen == [takes]
