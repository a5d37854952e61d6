"""A job's tasks as a tree: below a group what is in it, below a task what waits for it. Pure.

A plan is a graph, not a tree: a task with several tasks before it stands below the one that is
deepest, and names the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rainbow_agent.core.model import TaskRow
from rainbow_agent.core.notation import f58
from rainbow_agent.core.states import FINAL_TASK_STATES
from rainbow_agent.monitoring.views import ago, table
from rainbow_agent.runtime.logs import when

#: Replicas of one task that have a line each; of more there is one line for all.
MAX_REPLICA_LINES = 8


@dataclass(frozen=True)
class Branches:
    """What draws the tree."""

    last: str
    other: str
    through: str
    gap: str


DRAWN = Branches("└─ ", "├─ ", "│  ", "   ")
PLAIN = Branches("`- ", "|- ", "|  ", "   ")


def parents(tasks: Sequence[TaskRow]) -> dict[str, str | None]:
    """Below which task each stands, by name, in the plan's order; None: at the top."""
    first = {task.key.task: task for task in reversed(tasks)}
    ordered = sorted(first.values(), key=lambda task: task.position)
    found: dict[str, str | None] = {}
    depth: dict[str, int] = {}
    for task in ordered:
        near = [
            name for name in task.depends_on if name in depth and first[name].group == task.group
        ]
        above = max(near, key=lambda name: depth[name]) if near else task.group
        found[task.key.task] = above
        depth[task.key.task] = depth.get(above, 0) + 1 if above else 0
    return found


#: The columns of the table.
HEADER = ["TASK", "STATE", "EXIT", "STARTED", "TOOK", "JOB ID", "ALSO AFTER"]


def tree_table(
    tasks: Sequence[TaskRow],
    now: float,
    branches: Branches = DRAWN,
    show: Callable[[list[str], list[list[str]]], str] = table,
) -> str:
    """The tasks of one job for people, in dependency order.

    Args:
        tasks: by position and replica.
        now: epoch seconds; what runs is measured up to it.
        branches: what draws the tree.
        show: makes a table of a header and rows.
    """
    above = parents(tasks)
    by_name: dict[str, list[TaskRow]] = {}
    for task in tasks:
        by_name.setdefault(task.key.task, []).append(task)
    below: dict[str | None, list[str]] = {}
    for name, parent in above.items():
        below.setdefault(parent if parent in by_name else None, []).append(name)
    rows = [
        cells
        for lead, name in _walk(below, None, "", branches)
        for cells in _cells(lead, by_name[name], above[name], now)
    ]
    return show(HEADER, rows)


def _walk(
    below: Mapping[str | None, Sequence[str]], parent: str | None, lead: str, branches: Branches
) -> Iterator[tuple[str, str]]:
    """Each task with what is drawn before its name. Not recursive: chains may be long."""
    stack = [(parent, lead, iter(below.get(parent, ())))]
    left = {parent: len(below.get(parent, ()))}
    while stack:
        above, lead, names = stack[-1]
        name = next(names, None)
        if name is None:
            stack.pop()
            continue
        left[above] -= 1
        last = not left[above]
        top = above is None
        yield "" if top else lead + (branches.last if last else branches.other), name
        inner = "" if top else lead + (branches.gap if last else branches.through)
        children = below.get(name, ())
        left[name] = len(children)
        stack.append((name, inner, iter(children)))


def _cells(
    lead: str, replicas: Sequence[TaskRow], above: str | None, now: float
) -> Iterator[list[str]]:
    first = replicas[0]
    others = ",".join(name for name in first.depends_on if name != above) or "-"
    if len(replicas) > MAX_REPLICA_LINES:
        yield [lead + first.key.task, *_summary(replicas, now), others]
        return
    for n, task in enumerate(replicas):
        label = task.key.task if len(replicas) == 1 else f"{task.key.task}[{task.key.replica}]"
        # A further replica has no branch of its own: it is the same task.
        indent = lead if not n else " " * len(lead)
        yield [indent + label, *_one(task, now), others if not n else "-"]


def _one(task: TaskRow, now: float) -> list[str]:
    return [
        task.state.value,
        "-" if task.exit_code is None else str(task.exit_code),
        "-" if task.started is None else when(task.started)[:19] + "Z",
        _took(task.started, task.finished, now, over=task.state in FINAL_TASK_STATES),
        "-" if task.flux_id is None else f58(task.flux_id),
    ]


def _summary(replicas: Sequence[TaskRow], now: float) -> list[str]:
    states = Counter(task.state.value for task in replicas)
    started = [task.started for task in replicas if task.started is not None]
    ended = [task.finished for task in replicas if task.finished is not None]
    over = len(ended) == len(replicas)
    begun = min(started) if started else None
    codes = {task.exit_code for task in replicas}
    return [
        ", ".join(f"{n} {state}" for state, n in states.items()),
        str(codes.pop()) if len(codes) == 1 and None not in codes else "-",
        "-" if begun is None else when(begun)[:19] + "Z",
        _took(begun, max(ended) if over else None, now, over=over),
        f"({len(replicas)} replicas)",
    ]


def _took(started: float | None, finished: float | None, now: float, *, over: bool) -> str:
    if started is None:
        return "-"
    if over and finished is None:
        return "-"
    return ago(max((now if finished is None else finished) - started, 0.0))
