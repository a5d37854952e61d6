"""Asking the workload manager about a job, from a verb that must not hang on it."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.model import TaskEvent, TaskKey, TaskRow
from rainbow_agent.core.ports import Records
from rainbow_agent.core.states import TaskState
from rainbow_agent.monitoring.explain import History, with_events
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage import state_dir

#: Seconds until a workload manager that does not answer is done without.
ANSWER_TIMEOUT_S = 5.0
#: Tasks whose events are shown: what failed first, then in the plan's order.
MAX_TASKS_WITH_EVENTS = 50


@contextmanager
def records_of(settings: Settings, stop: Stop) -> Iterator[Records]:
    """What the daemon's workload manager keeps.

    Raises:
        RainbowAgentError: it cannot be asked.
    """
    from rainbow_agent.workload.choose import choose_as_daemon, open_records  # noqa: PLC0415

    choice = choose_as_daemon(settings, state_dir.read_runtime(settings.state_dir))
    records = open_records(choice, stop)
    try:
        yield records
    finally:
        records.close()


def add_events(history: History, settings: Settings) -> History:
    """The history with the workload manager's events, or with why they are not there."""
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
            events = _events(records, tasks[:MAX_TASKS_WITH_EVENTS])
    except RainbowAgentError as exc:
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
