"""fleet.registration over a rainbow that loses its graph, and then its database."""

from __future__ import annotations

import pytest

from rainbow_agent.core.errors import ClusterUnknown
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.fleet.registration import Registrar
from rainbow_agent.fleet.session import SessionError
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.storage.ledger import SqliteLedger
from support.common import FakeClock, FakeCredentialStore
from support.servers import SchedulerProcess, make_graph


@pytest.mark.parametrize("keep_db", [True, False], ids=["its database kept", "and its database"])
def test_the_cluster_is_whole_again_after_the_graph_was_lost(
    own: tuple[SchedulerProcess, RainbowScheduler], ledger: SqliteLedger, *, keep_db: bool
) -> None:
    """The graph is loaded for a row that is there; where that is gone as well, it registers.

    The real rainbow would take the graph without a row, and then keep the new secret to itself.
    """
    process, scheduler = own
    registrar = Registrar(
        cluster="blue",
        host=process.host,
        secret=Secret(process.secret),
        secret_source="the test",
        scheduler=scheduler,
        store=FakeCredentialStore(),
        ledger=ledger,
        graph=make_graph,
        registration_id="of {}".format,
        clock=FakeClock(),
    )
    old = registrar.ensure()
    process.restart(keep_db=True)
    scheduler.close()
    with pytest.raises(ClusterUnknown) as caught:
        scheduler.update_state("blue", old.secret.reveal(), {"nodes_free": 1})
    process.restart(keep_db=keep_db)
    scheduler.close()
    registrar.recover(SessionError(old, caught.value))
    session = registrar.ensure()
    assert (session == old) == keep_db
    scheduler.update_state("blue", session.secret.reveal(), {"nodes_free": 1})
    assert scheduler.satisfy({}).total_clusters == 1
