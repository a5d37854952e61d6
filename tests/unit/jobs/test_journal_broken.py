"""The journal's thread where the stream breaks off: what was heard of an instance counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.core.states import TaskState
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from support.journal import World
from support.ledger import checked_ledger
from support.workload import FakeWorkload
from support.workload_connection import FakeConnection, FakeJournal

FLUX_ID = 77
TIMESTAMP = 1003.0


class DyingStream(FakeJournal):
    """What an instance says before it dies, batch by batch; the next one knows of nothing."""

    def __init__(self, server: FakeWorkload, batches: list[list[WorkloadEvent]]) -> None:
        super().__init__(server)
        self._batches = batches
        self._dead = False

    def next_events(self, timeout: float) -> list[WorkloadEvent]:
        """The next batch; after the last one the connection is gone."""
        if self._batches:
            return self._batches.pop(0)
        if not self._dead:
            self._dead = True
            self._server.replace_instance()
        raise WorkloadUnavailable("the connection broke")


class DyingConnection(FakeConnection):
    """A connection whose journal is a DyingStream."""

    def __init__(self, server: FakeWorkload, batches: list[list[WorkloadEvent]]) -> None:
        super().__init__(server)
        self._batches = batches

    def open_journal(self, follow: Callable[[TaskKey], bool] | None = None) -> FakeJournal:
        """The stream."""
        return DyingStream(self._server, self._batches)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    path = tmp_path / "ledger.sqlite"
    with checked_ledger(path) as ledger:
        yield World(path, ledger)


def story(job: JobKey) -> list[WorkloadEvent]:
    """The journal of the group's job until its first task runs."""
    entry = {
        "timestamp": TIMESTAMP,
        "name": "task",
        "context": {"task": "g/t", "state": "running"},
    }
    return [
        WorkloadEvent(EventKind.SUBMIT, FLUX_ID, 1002.0, key=TaskKey(job, "g", 0), group=True),
        WorkloadEvent(EventKind.START, FLUX_ID, 1002.5),
        WorkloadEvent(EventKind.INSIDE, FLUX_ID, TIMESTAMP, news=entry),
    ]


CAUGHT_UP = WorkloadEvent(EventKind.CAUGHT_UP, 0, 0.0)


@pytest.mark.parametrize("live", [False, True], ids=["in its history", "as it happens"])
@pytest.mark.parametrize("together", [False, True], ids=["one by one", "together"])
@pytest.mark.parametrize("heard", [1, 2, 3])
def test_a_group_is_submitted_again_only_if_nothing_was_heard_of_its_start(
    world: World, heard: int, *, together: bool, live: bool
) -> None:
    """The stream breaks off and the instance is replaced, after each piece of news."""
    job = world.submitted_group(FLUX_ID)
    told = story(job)[:heard]
    history = [told.pop(0), CAUGHT_UP] if live else []
    batches = [told] if together else [[event] for event in told]
    if history:
        batches.insert(0, history)
    connections: list[FakeConnection] = [DyingConnection(world.server, batches)]
    world.open_workload = lambda: connections.pop() if connections else world.server.connect()
    with world.running():
        world.caught_up(2 if live else 1)
    begun = heard > 1
    assert world.task(job, "g").state is (TaskState.LOST if begun else TaskState.PENDING)
    assert world.task(job, "g/t").state is (TaskState.LOST if begun else TaskState.PENDING)
