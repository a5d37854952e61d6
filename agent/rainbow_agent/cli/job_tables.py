"""Jobs and their tasks as tables for people: ages on a terminal, exact times in a pipe."""

from __future__ import annotations

from collections.abc import Sequence

from rainbow_agent.cli.terminal import can_draw, fitted, is_terminal
from rainbow_agent.core.model import JobRow, TaskRow
from rainbow_agent.monitoring.remedies import blamed
from rainbow_agent.monitoring.task_tree import DRAWN, PLAIN, tree_table
from rainbow_agent.monitoring.views import ago, held_back, waits_of
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
            _reason(row),
        ]
        for row in rows
    ]
    header = ["ID", "NAME", "STATE", "TASKS", "RECEIVED", "FINISHED", "REASON"]
    return fitted(header, cells, yielding=("REASON", "NAME"))


def _reason(row: JobRow) -> str:
    """Why it ended so, or what holds it back; of which task, where there are several."""
    if not row.reason and (task := held_back(row)):
        several = len({each.key.task for each in row.tasks}) > 1
        return (f"{task.key.label}: " if several else "") + (waits_of(task) or "")
    return ": ".join(part for part in blamed(row) if part)


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
