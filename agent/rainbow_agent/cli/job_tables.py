"""Jobs and their tasks as tables for people: ages on a terminal, exact times in a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rainbow_agent.cli.terminal import can_draw, fitted, is_terminal
from rainbow_agent.core.model import JobRow, TaskRow
from rainbow_agent.monitoring.remedies import blamed
from rainbow_agent.monitoring.task_tree import DRAWN, PLAIN, tree_table
from rainbow_agent.monitoring.views import ago
from rainbow_agent.runtime.logs import when


def jobs_table(rows: Sequence[JobRow], now: float) -> str:
    """One line for each job.

    Args:
        rows: the jobs.
        now: epoch seconds, for how long ago something was.
    """
    cells = [
        [
            str(row.key.id),
            row.name,
            row.state.value,
            str(len(row.tasks)),
            _time(row.received, now),
            _time(row.finished, now),
            ": ".join(part for part in blamed(row) if part),
        ]
        for row in rows
    ]
    header = ["ID", "NAME", "STATE", "TASKS", "RECEIVED", "FINISHED", "REASON"]
    return fitted(header, cells, yielding=("REASON", "NAME"))


def tasks_table(tasks: Sequence[TaskRow], now: float) -> str:
    """The tasks of one job as a tree, in dependency order."""
    return tree_table(
        tasks,
        now,
        DRAWN if can_draw() else PLAIN,
        lambda header, rows: fitted(header, rows, yielding=("ALSO AFTER", "TASK")),
    )


def _time(at: float | None, now: float) -> str:
    if at is None:
        return "-"
    return f"{ago(max(now - at, 0.0))} ago" if is_terminal() else when(at)
