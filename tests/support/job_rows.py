"""For tests: rows of jobs and tasks as the ledger gives them, in any state."""

from __future__ import annotations

from dataclasses import replace

from rainbow_agent.core.model import JobKey, JobRow, TaskKey, TaskRow
from rainbow_agent.core.states import JobState, TaskState

KEY = JobKey("r1", 7)
T0 = 1715940000.0  # 2024-05-17T10:00:00Z


def task(
    name: str, state: TaskState, *, position: int = 0, replica: int = 0, **facts: object
) -> TaskRow:
    row = TaskRow(TaskKey(KEY, name, replica), position, state, ())
    return replace(row, **facts)  # type: ignore[arg-type] # facts are TaskRow's


def job(state: JobState, *tasks: TaskRow, reason: str | None = None) -> JobRow:
    over = state.value in ("completed", "failed", "canceled", "refused", "lost")
    return JobRow(KEY, "ior", state, reason, T0, None, T0 + 60 if over else None, tasks)


FAILED = job(
    JobState.FAILED,
    task("build", TaskState.COMPLETED, submitted=T0 + 1, started=T0 + 4, finished=T0 + 20),
    task(
        "run",
        TaskState.FAILED,
        position=1,
        depends_on=("build",),
        flux_id=1,
        exit_code=127,
        reason="exit code 127",
        submitted=T0 + 1,
        started=T0 + 50,
        finished=T0 + 60,
    ),
    reason="exit code 127",
)
