"""For tests: what the ledger has when the agent dies at a crash point."""

from __future__ import annotations

from collections.abc import Callable

from rainbow_agent.core.states import FINAL_TASK_STATES, TaskState
from rainbow_agent.runtime.fault_injection import CrashPoint
from support.crashes import Stage

#: States of tasks that have not begun, as far as the ledger knows.
UNBEGUN = {TaskState.PENDING, TaskState.SUBMITTING, TaskState.SUBMITTED}


def unreceived(stage: Stage, name: str) -> bool:
    return name not in [row.name for row in stage.site.program.rows()]


def tasks_are(*states: TaskState) -> Callable[[Stage, str], bool]:
    return lambda stage, name: set(stage.states(name).values()) == set(states)


def has_task(state: TaskState) -> Callable[[Stage, str], bool]:
    return lambda stage, name: state in stage.states(name).values()


def is_accepted(*, said: bool) -> Callable[[Stage, str], bool]:
    return lambda stage, name: (stage.row(name).accepted is not None) == said


def ended(*, noted: bool) -> Callable[[Stage, str], bool]:
    return lambda stage, name: bool(FINAL_TASK_STATES & set(stage.states(name).values())) == noted


def begun(*, noted: bool) -> Callable[[Stage, str], bool]:
    return lambda stage, name: bool(set(stage.states(name).values()) - UNBEGUN) == noted


#: What the ledger has when the agent dies; the journal's thread may have been quicker with what
#: was submitted.
ON_DISK: dict[CrashPoint, Callable[[Stage, str], bool]] = {
    CrashPoint.RECEIVED: unreceived,
    CrashPoint.WRITTEN: lambda stage, name: not stage.row(name).tasks,
    CrashPoint.PLANNED: tasks_are(TaskState.PENDING),
    CrashPoint.MARKED: tasks_are(TaskState.SUBMITTING),
    CrashPoint.SENT: has_task(TaskState.SUBMITTING),
    CrashPoint.SUBMITTED: has_task(TaskState.SUBMITTING),
    CrashPoint.RECORDED: is_accepted(said=False),
    CrashPoint.ACCEPTED: is_accepted(said=False),
    CrashPoint.LET_GO: is_accepted(said=True),
    CrashPoint.START_HEARD: begun(noted=False),
    CrashPoint.START_NOTED: begun(noted=True),
    CrashPoint.END_HEARD: ended(noted=False),
    CrashPoint.END_NOTED: ended(noted=True),
}
#: Where rainbow still offers the job.
OFFERED = [*ON_DISK][: [*ON_DISK].index(CrashPoint.ACCEPTED)]
LET_GO = (CrashPoint.ACCEPTED, CrashPoint.LET_GO)
