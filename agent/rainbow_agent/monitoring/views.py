"""What people and programs read: rows of the ledger as stable JSON objects (docs/commands.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final, TypedDict

from rainbow_agent.core.model import JobRow, StoryLine, TaskRow
from rainbow_agent.core.notation import f58
from rainbow_agent.core.states import TaskState
from rainbow_agent.monitoring.blame import in_names
from rainbow_agent.runtime.logs import clean, when


class TaskView(TypedDict):
    """One replica of one task; times are ISO 8601 in UTC."""

    name: str
    replica: int  # from 0
    state: str
    flux_id: str | None  # of the workload manager, as Flux writes ids: f7CygchD
    exit_code: int | None
    depends_on: list[str]  # names of tasks
    submitted: str | None
    started: str | None
    finished: str | None
    reason: str | None


class JobView(TypedDict):
    """One job with its tasks; times are ISO 8601 in UTC."""

    id: int  # rainbow's; unique in its registration
    registration: str
    name: str
    state: str
    reason: str | None
    received: str | None
    accepted: str | None
    finished: str | None
    tasks: list[TaskView]


def _time(epoch: float | None) -> str | None:
    return None if epoch is None else when(epoch)


def task_view(task: TaskRow) -> TaskView:
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
        "reason": waits_of(task) or task.reason,
    }


def waits_of(task: TaskRow) -> str | None:
    """What a pending task waits for, beside others before it: `it waits for nodes to be up: a`."""
    if task.waits:
        return f"it waits {task.waits}"
    return task.reason if task.state is TaskState.PENDING else None  # in its group


def held_back(job: JobRow) -> TaskRow | None:
    """The first of its tasks that waits so."""
    return next((task for task in job.tasks if waits_of(task)), None)


def _reason(job: JobRow) -> str | None:
    """Why it ended as it did, or the first thing that holds it back."""
    task = held_back(job)
    return in_names(job.reason, job) or (waits_of(task) if task else None)


def job_view(job: JobRow) -> JobView:
    """One job with its tasks."""
    return {
        "id": job.key.id,
        "registration": job.key.registration,
        "name": job.name,
        "state": job.state.value,
        "reason": _reason(job),
        "received": _time(job.received),
        "accepted": _time(job.accepted),
        "finished": _time(job.finished),
        "tasks": [
            {**view, "reason": in_names(view["reason"], job)} for view in map(task_view, job.tasks)
        ],
    }


#: The columns of a table of tasks, each with its kind.
TASK_COLUMNS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("registration", "name", "state", "reason"), "text"),
    "id": "number",
    **dict.fromkeys(("received", "accepted", "finished"), "time"),
    **dict.fromkeys(("task", "group", "task_state", "task_reason"), "text"),
    **dict.fromkeys(("replica", "flux_id", "exit_code"), "number"),
    **dict.fromkeys(("task_submitted", "task_started", "task_finished"), "time"),
}


def task_rows(job: JobRow) -> Iterator[dict[str, Any]]:
    """A row of TASK_COLUMNS for each task of a job; one without a task where it has none."""
    facts = {
        "registration": job.key.registration,
        "id": job.key.id,
        "name": job.name,
        "state": job.state.value,
        "reason": job.reason,
        "received": _moment(job.received),
        "accepted": _moment(job.accepted),
        "finished": _moment(job.finished),
    }
    if not job.tasks:
        yield facts
    for task in job.tasks:
        yield facts | {
            "task": task.key.task,
            "replica": task.key.replica,
            "group": task.group,
            "task_state": task.state.value,
            "task_reason": task.reason,
            "flux_id": task.flux_id,
            "exit_code": task.exit_code,
            "task_submitted": _moment(task.submitted),
            "task_started": _moment(task.started),
            "task_finished": _moment(task.finished),
        }


def _moment(at: float | None) -> datetime | None:
    return None if at is None else datetime.fromtimestamp(at, timezone.utc)


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


#: Columns below which a cell is not cut: less says nothing.
_LEAST: Final = 8


def table(
    header: list[str],
    rows: list[list[str]],
    *,
    width: int | None = None,
    yielding: Sequence[str] = (),
    end: str = "…",
    paint: Callable[[str, str], str] = lambda _, cell: cell,
) -> str:
    """Columns for people, two spaces apart; control characters shown, not sent.

    Args:
        header: the columns' names.
        rows: their cells.
        width: columns of the terminal; None: as wide as it gets.
        yielding: columns that are cut where it is too wide, the first to be cut first.
        end: what a cell that was cut ends in.
        paint: puts colour on a cell, by the column's name; the cell itself stays.
    """
    cells = [[clean(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(header))]
    for name in yielding if width is not None else ():
        place, over = header.index(name), sum(widths) + 2 * (len(widths) - 1) - (width or 0)
        if over > 0:
            least = min(widths[place], max(_LEAST, len(name)))
            widths[place] = max(widths[place] - over, least)
    lines = []
    for n, row in enumerate(cells):
        cut = [_cut(cell, size, end).ljust(size) for cell, size in zip(row, widths, strict=True)]
        # The last cell has nothing after it that it would have to be padded for.
        cut[-1] = cut[-1].rstrip()
        shown = cut if not n else [paint(*pair) for pair in zip(header, cut, strict=True)]
        lines.append("  ".join(shown).rstrip())
    return "\n".join(lines)


def _cut(text: str, width: int, end: str) -> str:
    """At most so many characters; that some are missing shows."""
    return text if len(text) <= width else text[: max(width - len(end), 0)] + end


def ago(seconds: float) -> str:
    """A duration for people: 3 s, 5 min, 2 h, 4 d."""
    for limit, unit, size in ((90, "s", 1), (5400, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def bar(part: int, whole: int, width: int) -> str:
    """`[#####.....]`: how much of a whole; plain characters, so that it reads the same anywhere."""
    full = round(width * part / whole) if whole else 0
    if 0 < part < whole:  # a little is not nothing, and not quite all is not all
        full = min(max(full, 1), width - 1)
    return "[" + "#" * full + "." * (width - full) + "]"


def wrapped(name: str, text: str, width: int, indent: int) -> list[str]:
    """A name and its text, in lines of at most `width` columns, the text set in by `indent`.

    A text that is longer than its column continues on the next line. Words longer than a line
    stay whole: an address or a path must be one piece to be copied.
    """
    import textwrap  # noqa: PLC0415 - regular expressions: not for --help

    head = clean(name)
    first = f"{head:<{indent - 1}} " if len(head) < indent else f"{head}  "
    lines = textwrap.wrap(
        clean(text),
        width,
        initial_indent=first,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [first.rstrip()]


def seconds_since(time: str, now: float) -> float:
    """Seconds since an RFC 3339 time; none when it is to come."""
    from datetime import datetime  # noqa: PLC0415

    return max(now - datetime.fromisoformat(time.replace("Z", "+00:00")).timestamp(), 0.0)
