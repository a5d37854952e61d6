"""What people and programs read: rows of the ledger as stable JSON objects (docs/commands.md)."""

from __future__ import annotations

from typing import Any

from rainbow_agent.fluxid import f58
from rainbow_agent.logs import clean, when
from rainbow_agent.model import JobRow, StoryLine, TaskRow


def _time(epoch: float | None) -> str | None:
    return None if epoch is None else when(epoch)


def task_view(task: TaskRow) -> dict[str, Any]:
    """One replica of one task."""
    return {
        "name": task.key.task,
        "replica": task.key.replica,
        "state": task.state.value,
        "flux_id": None if task.flux_id is None else f58(task.flux_id),
        "exit_code": task.exit_code,
        "depends_on": list(task.depends_on),
        "submitted": _time(task.submitted),
        "started": _time(task.started),
        "finished": _time(task.finished),
        "reason": task.reason,
    }


def job_view(job: JobRow) -> dict[str, Any]:
    """One job with its tasks."""
    return {
        "id": job.key.id,
        "registration": job.key.registration,
        "name": job.name,
        "state": job.state.value,
        "reason": job.reason,
        "received": _time(job.received),
        "accepted": _time(job.accepted),
        "finished": _time(job.finished),
        "tasks": [task_view(task) for task in job.tasks],
    }


def story_view(line: StoryLine) -> dict[str, Any]:
    """One entry of a job's story."""
    return {
        "time": _time(line.at),
        "task": line.task,
        "replica": line.replica,
        "was": line.was,
        "now": line.now,
        "cause": line.cause,
    }


def table(header: list[str], rows: list[list[str]]) -> str:
    """Columns for people, two spaces apart; control characters shown, not sent."""
    cells = [[clean(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)


def ago(seconds: float) -> str:
    """A duration for people: 3 s, 5 min, 2 h, 4 d."""
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"
