"""Why a job that is not over does not move, beside its own dependencies and resources. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from rainbow_agent.core.model import JobRow, TaskKey, TaskRow
from rainbow_agent.core.obstacles import Obstacle, ObstacleKind
from rainbow_agent.core.states import TaskState
from rainbow_agent.monitoring.condition_advice import ADVICE
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
#: What to do where no daemon runs.
_START: Final = "`rainbow-agent start`, or as this cluster starts it (`rainbow-agent status`)"


@dataclass(frozen=True)
class Blocked:
    """What a job waits for, each as it follows on "waited 5 s so far"; empty where not known."""

    submission: str = ""  # while nothing of it was submitted
    tasks: Mapping[TaskKey, str] = field(default_factory=dict)  # in the workload manager
    advice: str = ""  # what to do about it; "" where what it waits for says that


def waiting(job: JobRow) -> list[TaskRow]:
    """The tasks that the workload manager has and has not started, as far as the ledger knows."""
    return [
        task
        for task in job.tasks
        if task.state is TaskState.SUBMITTED and task.flux_id is not None and task.group is None
    ]


def for_submission(*, running: bool, reasons: Mapping[str, str]) -> Blocked:
    """What a job waits for that was not submitted; the tasks are not looked at.

    Args:
        running: whether a daemon runs.
        reasons: the conditions now, each with its reason.
    """
    if not running:
        return Blocked("for the agent to submit it: no daemon is running", advice=_START)
    name = _first(_NOT_SUBMITTED, reasons)
    if name is None:
        return Blocked()
    what = f"for the agent to submit it: {reasons[name.value]}"
    return Blocked(what, advice=ADVICE.get(name, ""))


def for_answer(problem: str) -> str:
    """What every task waits for while the workload manager cannot be asked."""
    return f"for an answer of the workload manager: {problem}"


def for_obstacles(queue: str, obstacles: Iterable[Obstacle]) -> tuple[str, str]:
    """What a task in this queue ("": in none) waits for, and what to do; both "" for nothing."""
    for each in obstacles:
        if each.kind is ObstacleKind.NO_SCHEDULER:
            return f"for a scheduler: {each}", ADVICE[ConditionName.NO_SCHEDULER]
        if each.kind is ObstacleKind.QUEUE_STOPPED and each.queue in ("", queue):
            what = f"for its queue to be started: {each}"
            return what, f"`flux queue start {each.queue}".rstrip() + "` when it may run again"
    return "", ""


def for_resources(expected: float | None) -> str:
    """What a task waits for that the scheduler expects to start then (epoch seconds)."""
    return f"for free resources, expected to start at {when(expected)}" if expected else ""


def by_conditions(job: JobRow, reasons: Mapping[str, str]) -> Blocked:
    """What the daemon itself says of a job, which asks the workload manager nothing for it.

    So it does not know whether a task is held, or which queue it is in.
    """
    tasks, name = waiting(job), _first(_NOT_STARTED, reasons)
    found = for_submission(running=True, reasons=reasons)
    if not tasks:
        return found
    what = f"to be started, while {reasons[name.value]}" if name else "to be started"
    return replace(
        found,
        tasks={task.key: what for task in tasks},
        advice=ADVICE.get(name, "") if name else "",
    )


def _first(names: Iterable[ConditionName], reasons: Mapping[str, str]) -> ConditionName | None:
    return next((name for name in names if name.value in reasons), None)
