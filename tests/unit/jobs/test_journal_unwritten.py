"""The journal's thread while the ledger cannot be written: what it heard is not forgotten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from rainbow_agent.core.errors import LedgerBlocked
from rainbow_agent.core.model import JobChange, TaskChange
from rainbow_agent.core.states import TaskState
from rainbow_agent.jobs import unwritten_news
from rainbow_agent.storage.ledger import SqliteLedger
from support.journal import World
from support.ledger import add_job, checked_ledger, news


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "ledger.sqlite"
    with checked_ledger(path) as ledger:
        yield World(path, ledger)


class Disk:
    """May be full: then the ledger takes no news. `heard` counts what came meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full, self.heard = False, 0
        apply = SqliteLedger.apply

        def blocked(ledger: SqliteLedger, news: Sequence[TaskChange]) -> list[JobChange]:
            if self.full and news:
                self.heard += 1
                raise LedgerBlocked("disk full")
            return apply(ledger, news)

        monkeypatch.setattr(SqliteLedger, "apply", blocked)


@pytest.mark.parametrize(("kept", "state"), [(100, TaskState.COMPLETED), (0, TaskState.PENDING)])
def test_the_instance_is_replaced_before_the_ledger_can_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch, kept: int, state: TaskState
) -> None:
    """The task ended in the old one, and was heard to: it does not run again in the new one."""
    monkeypatch.setattr(unwritten_news, "MAX_KEPT", kept)
    job, disk = add_job(world.ledger, 1, "build"), Disk(monkeypatch)
    world.submitted(job)
    with world.running():
        world.caught_up()
        disk.full = True
        world.server.run_all()
        world.thread.wait(lambda: disk.heard > 1, "the end was heard, and more is listened to")
        world.server.replace_instance()
        disk.full = False
        world.caught_up(2)
        assert world.task(job).state is state


def test_news_are_written_in_order(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept comes first, and is written once."""
    job, disk = add_job(world.ledger, 1, "build"), Disk(monkeypatch)
    world.submitted(job)
    unwritten, disk.full = unwritten_news.UnwrittenNews(), True
    with pytest.raises(LedgerBlocked):
        unwritten.write(world.ledger, [news(job, "build", TaskState.RUNNING)])
    assert unwritten
    disk.full = False
    unwritten.write(world.ledger, [news(job, "build", TaskState.COMPLETED)])
    assert not unwritten
    states = [line.now for line in world.ledger.story(job) if line.task == "build"]
    assert states[-2:] == ["running", "completed"]
