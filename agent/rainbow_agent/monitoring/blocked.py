"""Why a job that is not over does not move, beside its own dependencies and resources. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from rainbow_agent.core.model import JobRow, TaskKey, TaskRow
from rainbow_agent.core.obstacles import Obstacle, ObstacleKind
from rainbow_agent.core.states import TaskState
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.logs import when

#: Conditions under which the agent submits nothing, the first to be named first.
_NOT_SUBMITTED: Final = (
    ConditionName.PROCESS_STOPPED,
    ConditionName.HEARTBEAT_OLD,
    ConditionName.WORKLOAD_TAKES_NO_JOBS,
    ConditionName.QUEUE_DISABLED,
    ConditionName.WORKLOAD_UNREACHABLE,
    ConditionName.LEDGER_UNWRITABLE,
    ConditionName.LEDGER_BROKEN,
    ConditionName.CLUSTER_NOT_DESCRIBED,
)
#: Conditions under which the workload manager starts nothing, or cannot be asked.
_NOT_STARTED: Final = (
    ConditionName.WORKLOAD_UNREACHABLE,
    ConditionName.NO_SCHEDULER,
    ConditionName.QUEUE_STOPPED,
)


@dataclass(frozen=True)
class Blocked:
    """What a job waits for, each as it follows on "waited 5 s so far"; empty where not known."""

    submission: str = ""  # while nothing of it was submitted
    tasks: Mapping[TaskKey, str] = field(default_factory=dict)  # in the workload manager


def waiting(job: JobRow) -> list[TaskRow]:
    """The tasks that the workload manager has and has not started, as far as the ledger knows."""
    return [
        task
        for task in job.tasks
        if task.state is TaskState.SUBMITTED and task.flux_id is not None and task.group is None
    ]


def for_submission(*, running: bool, reasons: Mapping[str, str]) -> str:
    """What a job waits for that was not submitted.

    Args:
        running: whether a daemon runs.
        reasons: the conditions now, each with its reason.
    """
    if not running:
        return "for the agent to submit it: no daemon is running"
    reason = _first(_NOT_SUBMITTED, reasons)
    return f"for the agent to submit it: {reason}" if reason else ""


def for_answer(problem: str) -> str:
    """What every task waits for while the workload manager cannot be asked."""
    return f"for an answer of the workload manager: {problem}"


def for_obstacles(queue: str, obstacles: Iterable[Obstacle]) -> str:
    """What a task in this queue ("": in none) waits for; "" when nothing keeps it."""
    for each in obstacles:
        if each.kind is ObstacleKind.NO_SCHEDULER:
            return f"for a scheduler: {each}"
        if each.kind is ObstacleKind.QUEUE_STOPPED and each.queue in ("", queue):
            return f"for its queue to be started: {each}"
    return ""


def for_resources(expected: float | None) -> str:
    """What a task waits for that the scheduler expects to start then (epoch seconds)."""
    return f"for free resources, expected to start at {when(expected)}" if expected else ""


def by_conditions(job: JobRow, reasons: Mapping[str, str]) -> Blocked:
    """What the daemon itself says of a job, which asks the workload manager nothing for it.

    So it does not know whether a task is held, or which queue it is in.
    """
    reason = _first(_NOT_STARTED, reasons)
    what = f"to be started, while {reason}" if reason else "to be started"
    tasks = {task.key: what for task in waiting(job)}
    return Blocked(for_submission(running=True, reasons=reasons), tasks)


def _first(names: Iterable[ConditionName], reasons: Mapping[str, str]) -> str:
    return next((reasons[name.value] for name in names if name.value in reasons), "")
