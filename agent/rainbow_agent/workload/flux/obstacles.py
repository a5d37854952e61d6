"""What Flux says of its scheduler and queues (flux-queue(1), RFC 27)."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rainbow_agent.core.errors import Rejected, WorkloadUnavailable
from rainbow_agent.core.obstacles import Obstacle, ObstacleKind
from rainbow_agent.workload.flux.connection import ANSWER_SECONDS, Connection

#: Seconds for a scheduler to answer; one that is busy with large jobs is there all the same.
_SCHEDULER_ANSWER_S = 2.0
#: Waiting jobs that are asked for an estimate, the first to start first.
_MAX_WAITING = 100
#: Why a queue is stopped while no scheduler is ready (flux-core src/modules/job-manager), also one
#: that is loaded: Fluxion first reads all nodes, which takes minutes for ten thousand.
_OFFLINE = "Scheduler is offline"
#: A job for one GPU, to ask about.
_ONE_GPU: Mapping[str, Any] = {
    "version": 1,
    "resources": [
        {
            "type": "slot",
            "count": 1,
            "label": "task",
            "with": [{"type": "core", "count": 1}, {"type": "gpu", "count": 1}],
        }
    ],
    "tasks": [{"command": ["true"], "slot": "task", "count": {"per_slot": 1}}],
    "attributes": {"system": {"duration": 1.0}},
}


def read(connection: Connection, queue: str = "") -> Iterator[Obstacle]:
    """What keeps jobs from being taken or started there.

    Args:
        connection: to Flux.
        queue: where our jobs go that name none; "" where Flux chooses.

    Raises:
        WorkloadUnavailable: it does not answer.
    """
    scheduled = _has_scheduler(connection)
    if not scheduled:
        yield Obstacle(ObstacleKind.NO_SCHEDULER)
    names, default = _queues(connection)
    begins = False
    for name in names or [""]:
        ours = not name or name == (queue or default)
        for each in _of_queue(connection, name, default=ours):
            # Without a scheduler Flux calls every queue stopped.
            if each.kind is ObstacleKind.QUEUE_STOPPED and each.reason == _OFFLINE:
                begins = scheduled
            elif scheduled or each.kind is not ObstacleKind.QUEUE_STOPPED:
                yield each
    if begins:
        yield Obstacle(ObstacleKind.NO_SCHEDULER, reason="it is loaded, and not ready yet")


def _has_scheduler(connection: Connection) -> bool:
    """Whether a module offers the service `sched`, as sched-simple and Fluxion do."""
    answer = connection.answer(connection.request("sched.resource-status"), _SCHEDULER_ANSWER_S)
    if answer is None or answer.error != errno.ENOSYS:
        return True
    # The broker knows no such service; a module that is there and has no such method says this.
    return "service method" in answer.text


def expected_wait(connection: Connection, now: float) -> float | None:
    """See ports.Workload; an estimate is an annotation of Fluxion's (RFC 27).

    Args:
        connection: to Flux.
        now: epoch seconds.

    Raises:
        WorkloadUnavailable: the connection is gone.
    """
    question = {
        "max_entries": _MAX_WAITING,
        "since": 0.0,
        "attrs": ["annotations"],
        "constraint": {"states": ["sched"]},
    }
    request = connection.request("job-list.list", question)
    answer = connection.answer(request, _SCHEDULER_ANSWER_S)
    if answer is None or answer.error:
        return None
    waiting: Any = (job.get("annotations") for job in json.loads(answer.text)["jobs"])
    scheds = (each.get("sched") for each in waiting if isinstance(each, Mapping))
    known = [each.get("t_estimate") for each in scheds if isinstance(each, Mapping)]
    times = [each for each in known if isinstance(each, int | float) and each > 0]
    return max(0.0, max(times) - now) if times else None


def gpus_refused(connection: Connection) -> str | None:
    """Why the scheduler gives no job a GPU, in its words; "" when it does; None: no answer.

    sched-simple up to flux-core 0.83 has none to give. Whether a job is feasible is asked of the
    scheduler (RFC 27) under a name that changed with 0.73.

    Raises:
        WorkloadUnavailable: Flux does not answer.
    """
    for topic in ("feasibility.check", "sched.feasibility"):
        request = connection.request(topic, {"jobspec": _ONE_GPU})
        answer = connection.answer(request, _SCHEDULER_ANSWER_S)
        if answer is None:
            return None
        if not answer.error:
            return ""
        if answer.error != errno.ENOSYS:
            return answer.text if "resource type 'gpu'" in answer.text else ""
    return None


def _queues(connection: Connection) -> tuple[list[str], str]:
    """The names of the queues, none where Flux has only its anonymous one; Flux's default."""
    try:
        config = connection.call("config.get")
    except Rejected:
        return [], ""
    queues = config.get("queues") if isinstance(config, Mapping) else None
    if not isinstance(queues, Mapping):
        return [], ""
    default: Any = config
    for name in ("policy", "jobspec", "defaults", "system", "queue"):
        default = default.get(name) if isinstance(default, Mapping) else None
    return sorted(queues), default if isinstance(default, str) else ""


def _of_queue(connection: Connection, queue: str, *, default: bool) -> Iterator[Obstacle]:
    payload = {"name": queue} if queue else {}
    request = connection.request("job-manager.queue-status", payload)
    answer = connection.answer(request, ANSWER_SECONDS)
    if answer is None:
        raise WorkloadUnavailable(f"Flux at {connection.where} does not say how its queues are")
    if answer.error:
        return  # a Flux that cannot say so
    status: Any = json.loads(answer.text)
    if status.get("enable") is False:
        reason = str(status.get("disable_reason", ""))
        yield Obstacle(ObstacleKind.QUEUE_DISABLED, queue, reason, default)
    if status.get("start") is False:
        reason = str(status.get("stop_reason", ""))
        yield Obstacle(ObstacleKind.QUEUE_STOPPED, queue, reason, default)
