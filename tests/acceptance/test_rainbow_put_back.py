"""Rainbow's database is put back: no new job is lost under a number that is given twice."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from rainbow_agent.core.states import JobState
from rainbow_agent.fleet.grpc.scheduler import RainbowScheduler
from rainbow_agent.runtime.fault_injection import CrashPoint
from support.crashes import Stage, diamond, set_up
from support.databases import copy_hot, put_back
from support.servers import SchedulerKind, make_graph


def restored_rainbow(stage: Stage, copy: Path) -> None:
    """Put the database back, and load a graph as another agent or an operator would."""
    scheduler = stage.site.scheduler
    scheduler.kill()
    put_back(scheduler.db, copy)
    scheduler.start()
    with closing(RainbowScheduler(scheduler.host)) as client:
        client.restore_graph("blue", make_graph())


@pytest.mark.parametrize(
    "kind", [SchedulerKind.EMBEDDED, pytest.param(SchedulerKind.REAL, marks=pytest.mark.rainbow)]
)
@pytest.mark.parametrize("point", [CrashPoint.WRITTEN, CrashPoint.RECORDED])
@pytest.mark.full
def test_a_new_job_under_the_number_of_one_that_was_not_accepted(
    kind: SchedulerKind,
    point: CrashPoint,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The agent holds a row that it has not accepted; its number is given to another job."""
    if missing := kind.missing():
        pytest.skip(missing)
    copy = tmp_path_factory.mktemp("backup") / "copy.db"
    with set_up(tmp_path, kind, flux=False) as stage:
        copy_hot(stage.site.scheduler.db, copy)
        stage.send(diamond, "held")
        stage.dies_at(point)
        restored_rainbow(stage, copy)
        stage.send(diamond, "new")
        (row,) = stage.site.fleet.waiting()
        assert (row.id, row.name) == (stage.row("held").key.id, "new")
        stage.finishes("new")
        for name in ("held", "new"):
            assert stage.row(name).state is JobState.COMPLETED
            assert set(stage.ending(name).submitted.values()) == {1}
