"""ports.Scheduler: what a restart of the server loses and keeps, with and without its database."""

from __future__ import annotations

import contextlib
import itertools
from contextlib import closing

import pytest

from rainbow_agent.core.errors import ClusterExists, ClusterUnknown, RequestDenied, Unavailable
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from support.servers import (
    JOBSPEC,
    SchedulerKind,
    SchedulerProcess,
    make_graph,
    make_subsystem,
    running_scheduler,
)


def restart(own: tuple[SchedulerProcess, RainbowScheduler], *, keep_db: bool) -> None:
    """Restart the server and call until the client has noticed: one Unavailable is allowed."""
    process, scheduler = own
    process.restart(keep_db=keep_db)
    with contextlib.suppress(Unavailable):
        scheduler.satisfy({})
    scheduler.satisfy({})


def test_a_restart_loses_graphs_and_keeps_rows(
    own: tuple[SchedulerProcess, RainbowScheduler],
) -> None:
    """Secrets and jobs survive; the graph is loaded again, and with it all else works again."""
    process, scheduler = own
    given = scheduler.register("blue", process.secret, make_graph())
    scheduler.submit("before", {"blue": given.token}, JOBSPEC)
    restart(own, keep_db=True)
    assert [o.name for o in scheduler.receive("blue", given.secret, 0)] == ["before"]
    with pytest.raises(ClusterUnknown):
        scheduler.update_state("blue", given.secret, {"nodes_free": 1})
    with pytest.raises(ClusterUnknown):
        scheduler.submit("job", {"blue": given.token}, JOBSPEC)
    with pytest.raises(ClusterUnknown):
        scheduler.register_subsystem("blue", given.secret, "s", make_subsystem("s", {}))
    with pytest.raises(ClusterExists):
        scheduler.register("blue", process.secret, make_graph())
    assert scheduler.satisfy({}).total_clusters == 0

    scheduler.restore_graph("blue", make_graph())
    scheduler.update_state("blue", given.secret, {"nodes_free": 1})
    scheduler.register_subsystem("blue", given.secret, "s", make_subsystem("s", {}))
    assert scheduler.submit("after", {"blue": given.token}, JOBSPEC) == ["blue"]
    offers = scheduler.receive("blue", given.secret, 0)
    assert [(o.id, o.name) for o in offers] == [(1, "before"), (2, "after")]


def test_a_cluster_without_graph_can_leave(
    own: tuple[SchedulerProcess, RainbowScheduler],
) -> None:
    """Deregistering works also when the server lost the graph, and leaves nothing behind."""
    process, scheduler = own
    given = scheduler.register("blue", process.secret, make_graph())
    restart(own, keep_db=True)
    scheduler.deregister("blue", given.secret)
    assert scheduler.satisfy({}).total_clusters == 0
    assert scheduler.register("blue", process.secret, make_graph()).secret


def test_without_its_database_all_is_forgotten(
    own: tuple[SchedulerProcess, RainbowScheduler],
) -> None:
    """The old secret is denied, a new registration gives another, and ids start at 1 again."""
    process, scheduler = own
    given = scheduler.register("blue", process.secret, make_graph())
    scheduler.submit("old", {"blue": given.token}, JOBSPEC)
    restart(own, keep_db=False)
    with pytest.raises(RequestDenied):
        scheduler.receive("blue", given.secret, 0)
    fresh = scheduler.register("blue", process.secret, make_graph())
    assert fresh.secret != given.secret
    scheduler.submit("new", {"blue": fresh.token}, JOBSPEC)
    (offer,) = scheduler.receive("blue", fresh.secret, 0)
    assert (offer.id, offer.name) == (1, "new")


def test_ids_are_not_used_twice(own: tuple[SchedulerProcess, RainbowScheduler]) -> None:
    """The id of a job that was accepted is given to no other, also after a restart."""
    process, scheduler = own
    given = scheduler.register("blue", process.secret, make_graph())
    scheduler.submit("first", {"blue": given.token}, JOBSPEC)
    scheduler.accept("blue", given.secret, [1])
    restart(own, keep_db=True)
    scheduler.restore_graph("blue", make_graph())
    scheduler.submit("second", {"blue": given.token}, JOBSPEC)
    assert [o.id for o in scheduler.receive("blue", given.secret, 0)] == [2]


@pytest.mark.rainbow
def test_each_server_goes_on_with_the_others_database(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """A job that one of them stored is handed out by the other, under the same secret."""
    if SchedulerKind.REAL.missing():
        pytest.skip(SchedulerKind.REAL.missing())
    for first, second in itertools.permutations((SchedulerKind.EMBEDDED, SchedulerKind.REAL)):
        folder = tmp_path_factory.mktemp(first.value)
        with running_scheduler(first, folder) as one, closing(RainbowScheduler(one.host)) as ask:
            given = ask.register("blue", one.secret, make_graph())
            ask.submit("job", {"blue": given.token}, JOBSPEC)
        one.db.rename(folder / f"{second.value}.db")
        with running_scheduler(second, folder) as two, closing(RainbowScheduler(two.host)) as ask:
            (offer,) = ask.receive("blue", given.secret, 0)
            assert (offer.id, offer.name, offer.jobspec) == (1, "job", JOBSPEC)
