"""A scheduler that is loaded and still reads the nodes is no stopped queue."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from rainbow_agent.core.obstacles import ObstacleKind
from rainbow_agent.workload.flux.connection import Reply
from rainbow_agent.workload.flux.obstacles import read

OFFLINE = {"enable": True, "start": False, "stop_reason": "Scheduler is offline"}
STOPPED = {"enable": True, "start": False, "stop_reason": "until noon"}


class Flux:
    """A connection to a Flux with one queue, or those that are named."""

    def __init__(self, *statuses: dict[str, Any], scheduler: str, queues: tuple[str, ...]) -> None:
        self._answers = [Reply(1, scheduler, errno.ENOSYS)]
        self._answers += [Reply(1, json.dumps(status)) for status in statuses]
        self._queues = queues

    def request(self, *_: Any) -> int:
        """Its number."""
        return 1

    def answer(self, *_: Any) -> Reply:
        """The next one."""
        return self._answers.pop(0)

    def call(self, _topic: str) -> dict[str, Any]:
        """The configuration."""
        return {"queues": {name: {} for name in self._queues}} if self._queues else {}


#: What Flux says of the method that is asked for: a module has the service, or none has.
LOADED, NONE = "Unknown service method", "No service matching sched.resource-status"


@pytest.mark.parametrize(
    ("scheduler", "statuses", "queues", "says"),
    [
        (NONE, [OFFLINE], (), ["no scheduler is loaded, so no job starts"]),
        (
            LOADED,
            [OFFLINE],
            (),
            ["no job starts before the scheduler is ready: it is loaded, and not ready yet"],
        ),
        (
            LOADED,
            [OFFLINE, OFFLINE],
            ("batch", "debug"),
            ["no job starts before the scheduler is ready: it is loaded, and not ready yet"],
        ),
        (LOADED, [STOPPED], (), ["the queue is stopped, so no job of it starts: until noon"]),
        (LOADED, [{"enable": True, "start": True}], (), []),
    ],
)
def test_no_job_starts(
    scheduler: str, statuses: list[dict[str, Any]], queues: tuple[str, ...], says: list[str]
) -> None:
    """Each is said once, whatever the number of queues."""
    flux = Flux(*statuses, scheduler=scheduler, queues=queues)
    found = list(read(flux))  # type: ignore[arg-type]
    assert [str(each) for each in found] == says
    ready = {ObstacleKind.NO_SCHEDULER} if "scheduler" in "".join(says) else set()
    assert {each.kind for each in found} - {ObstacleKind.QUEUE_STOPPED} == ready
