"""What Flux says of its scheduler and queues (flux-queue(1), RFC 27)."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.obstacles import Obstacle, ObstacleKind
from rainbow_agent.workload.flux.connection import ANSWER_SECONDS, Connection


def read(connection: Connection) -> Iterator[Obstacle]:
    """What keeps jobs from being taken or started there.

    Raises:
        WorkloadUnavailable: it does not answer.
    """
    if not _has_scheduler(connection):
        yield Obstacle(ObstacleKind.NO_SCHEDULER)
    for queue in _queues(connection) or [""]:
        yield from _of_queue(connection, queue)


def _has_scheduler(connection: Connection) -> bool:
    """Whether a module offers the service `sched`, as sched-simple and Fluxion do."""
    answer = connection.answer(connection.request("sched.resource-status"), ANSWER_SECONDS)
    if answer is None or answer.error != errno.ENOSYS:
        return True
    # The broker knows no such service; a module that is there and has no such method says this.
    return "service method" in answer.text


def _queues(connection: Connection) -> list[str]:
    try:
        config = connection.call("config.get")
    except Rejected:
        return []
    queues = config.get("queues") if isinstance(config, Mapping) else None
    return sorted(queues) if isinstance(queues, Mapping) else []


def _of_queue(connection: Connection, queue: str) -> Iterator[Obstacle]:
    payload = {"name": queue} if queue else {}
    request = connection.request("job-manager.queue-status", payload)
    answer = connection.answer(request, ANSWER_SECONDS)
    if answer is None or answer.error:
        return  # a Flux that cannot say so
    status: Any = json.loads(answer.text)
    if status.get("enable") is False:
        reason = str(status.get("disable_reason", ""))
        yield Obstacle(ObstacleKind.QUEUE_DISABLED, queue, reason)
    if status.get("start") is False:
        yield Obstacle(ObstacleKind.QUEUE_STOPPED, queue, str(status.get("stop_reason", "")))
