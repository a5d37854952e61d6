"""Asking the workload manager about a job, from a verb that must not hang on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import TaskKey, TaskRow
from rainbow_agent.core.obstacles import Obstacle
from rainbow_agent.core.ports import Records
from rainbow_agent.core.states import FINAL_JOB_STATES, TaskState
from rainbow_agent.core.workload_values import TaskEvent
from rainbow_agent.monitoring.blocked import (
    Blocked,
    for_answer,
    for_obstacles,
    for_resources,
    for_submission,
    waiting,
)
from rainbow_agent.monitoring.condition_advice import ADVICE
from rainbow_agent.monitoring.explain import History, with_events
from rainbow_agent.monitoring.status_sources import look
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.conditions import ConditionName
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage import runtime_file

if TYPE_CHECKING:
    from rainbow_agent.workload.choose import Choice

#: Seconds until a workload manager that does not answer is done without.
ANSWER_TIMEOUT_S = 5.0
#: Tasks whose events are shown: what failed first, then in the plan's order.
MAX_TASKS_WITH_EVENTS = 50
#: Of these, tasks whose job shell's complaints are looked for: they stand among all their output.
MAX_TASKS_WITH_COMPLAINTS = 5


@contextmanager
def records_of(settings: Settings, stop: Stop) -> Iterator[Records]:
    """What the daemon's workload manager keeps.

    Raises:
        RainbowAgentError: it cannot be asked.
    """
    from rainbow_agent.workload.choose import open_records  # noqa: PLC0415 - as below

    records = open_records(_choice(settings), stop)
    try:
        yield records
    finally:
        records.close()


def _choice(settings: Settings) -> Choice:
    """The daemon's workload manager."""
    from rainbow_agent.workload.choose import choose_as_daemon  # noqa: PLC0415 - heavy

    return choose_as_daemon(settings, runtime_file.read_runtime(settings.state_dir))


def add_events(history: History, settings: Settings) -> History:
    """The history with the workload manager's events, or with why they are not there.

    And with what keeps the job from moving, where it is not over.
    """
    if history.job.state not in FINAL_JOB_STATES:
        history = replace(history, blocked=_submission(settings))
    # An id of a task in a group is one of the group's own instance: out here it is another job's.
    tasks = sorted(
        (t for t in history.job.tasks if t.flux_id is not None and t.group is None), key=_first
    )
    if not tasks:
        return history
    stop = Stop()
    timer = threading.Timer(ANSWER_TIMEOUT_S, stop.set, ("no answer in time",))
    timer.daemon = True
    timer.start()
    try:
        with records_of(settings, stop) as records:
            shown = tasks[:MAX_TASKS_WITH_EVENTS]
            events = _events(records, shown)
            history = replace(
                history, complaints=_complaints(records, shown), manager=_choice(settings).kind
            )
            waits = [task for task in waiting(history.job) if task in shown]
            if waits:
                obstacles = _obstacles(settings, stop)
                found, advice = _waits(records, waits, events, obstacles)
                blocked = replace(history.blocked, tasks=found, advice=advice)
                history = replace(history, blocked=blocked)
    except RainbowAgentError as exc:
        no_answer = dict.fromkeys((t.key for t in waiting(history.job)), for_answer(str(exc)))
        if no_answer:
            advice = ADVICE[ConditionName.WORKLOAD_UNREACHABLE]
            blocked = replace(history.blocked, tasks=no_answer, advice=advice)
            history = replace(history, blocked=blocked)
        return with_events(history, {}, f"without the workload manager's events: {exc}")
    finally:
        timer.cancel()
    note = (
        f"the events of {MAX_TASKS_WITH_EVENTS} of {len(tasks)} tasks are shown"
        if len(tasks) > MAX_TASKS_WITH_EVENTS
        else ""
    )
    return with_events(history, events, note)


def _first(task: TaskRow) -> tuple[bool, int, int]:
    return task.state is not TaskState.FAILED, task.position, task.key.replica


def _events(records: Records, tasks: Sequence[TaskRow]) -> dict[TaskKey, Sequence[TaskEvent]]:
    found = {task.key: records.eventlog(task.flux_id) for task in tasks if task.flux_id is not None}
    return {key: events for key, events in found.items() if events}


def _complaints(records: Records, tasks: Sequence[TaskRow]) -> dict[TaskKey, Sequence[TaskEvent]]:
    """What the job shell says beyond the reason that a task ended for."""
    started = [task for task in tasks if task.started is not None][:MAX_TASKS_WITH_COMPLAINTS]
    found = {
        task.key: [
            each
            for each in records.complaints(task.flux_id)
            if each.context["message"] not in (task.reason or "")
        ]
        for task in started
        if task.flux_id is not None
    }
    return {key: said for key, said in found.items() if said}


def _submission(settings: Settings) -> Blocked:
    """What a job waits for that was not submitted."""
    view = look(settings, SystemClock().now())
    reasons = {each["name"]: each["reason"] for each in view["reasons"]}
    return for_submission(running=view["daemon"]["running"], reasons=reasons)


def _obstacles(settings: Settings, stop: Stop) -> list[Obstacle]:
    """What keeps jobs from starting.

    Raises:
        RainbowAgentError: the workload manager does not answer.
    """
    from rainbow_agent.workload.choose import open_running  # noqa: PLC0415 - as below

    choice = _choice(settings)
    with closing(open_running(choice, settings, stop)) as workload:
        if choice.kind == "local":
            workload.resources()  # its records are files, which are there without it
        return workload.obstacles()


def _waits(
    records: Records,
    tasks: Sequence[TaskRow],
    events: Mapping[TaskKey, Sequence[TaskEvent]],
    obstacles: Sequence[Obstacle],
) -> tuple[dict[TaskKey, str], str]:
    """What each of these tasks waits for in the workload manager, and what to do about it."""
    named, found, advice = any(each.queue for each in obstacles), {}, ""
    for task in tasks:
        if task.key not in events:
            found[task.key] = "to be found again: the workload manager does not know it"
            continue
        flux_id = task.flux_id or 0  # it has one: it waits there
        queue = records.queue(flux_id) if named else ""
        what, cure = for_obstacles(queue, obstacles)
        found[task.key] = what or for_resources(records.expected_start(flux_id))
        advice = advice or cure
    return found, advice
