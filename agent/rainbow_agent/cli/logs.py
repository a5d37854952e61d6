"""`rainbow-agent logs`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import click

from rainbow_agent.cli import completing
from rainbow_agent.cli.common import output_option, reports_errors, settings_options
from rainbow_agent.cli.ledger import reading
from rainbow_agent.cli.state_folder import expect_own
from rainbow_agent.cli.task_output import Inner, Labelled, as_json, raw, shower, task_name
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.handles import is_handle
from rainbow_agent.core.model import JobRow, TaskKind, TaskRow
from rainbow_agent.core.notation import f58, parse_f58
from rainbow_agent.core.states import FINAL_TASK_STATES, TaskState
from rainbow_agent.core.workload_values import OutputPiece
from rainbow_agent.monitoring.find_job import find_job
from rainbow_agent.monitoring.records import records_of
from rainbow_agent.runtime.logs import clean
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import stop_on_signals


class _Reads(Protocol):
    """Records.output()."""

    def __call__(self, flux_ids: Sequence[int], /, *, follow: bool) -> Iterator[OutputPiece]: ...


#: Tasks without output that are named.
MAX_SILENT_NAMED = 5
#: How a task is, and how that fits what it wrote.
_ENDS = {
    **{state: f"is {state.value}" for state in TaskState},
    TaskState.COMPLETED: "completed",
    TaskState.FAILED: "failed",
    TaskState.CANCELED: "was canceled",
    TaskState.LOST: "was lost",
}
_WROTE = {
    TaskState.RUNNING: "has written nothing so far",
    TaskState.SUBMITTED: "has not started",
    TaskState.SUBMITTING: "has not started",
}


@click.command(name="logs")
@click.argument("job", shell_complete=completing.jobs)
@click.argument("task", required=False, shell_complete=completing.tasks)
@click.option("-f", "--follow", is_flag=True, help="Follow the output until all tasks are over.")
@settings_options("cluster", "state_dir", "workload", "host", "config", "sent_dir")
@output_option
@reports_errors
def command(job: str, task: str | None, follow: bool, settings: Settings, output: str) -> None:
    """Show the output of a JOB's tasks, or of one TASK.

    TASK is a task's name, or `name[2]` for one replica. JOB may also be an id of the workload
    manager (f7CygchD), as `jobs JOB` and `run` show them. The output of one task is shown
    unchanged, standard error on standard error. With several tasks, each line begins with the
    task's name. As JSON: one object for each piece. Of tasks in groups, only what `watch: true`
    keeps is there. JOB may be the handle of a job that was sent from here: its cluster is asked.

    Example: rainbow-agent logs 7 build --follow
    """
    if is_handle(job):
        from rainbow_agent.cli.asked_records import asked_records  # noqa: PLC0415 - only for this

        with stop_on_signals() as stop, asked_records(job, settings, stop) as asked:
            assert asked.job.job is not None  # noqa: S101 - asked_records() saw to it
            _show(asked.job.job, task, asked.output, output, follow=follow)
        return
    if (flux_id := _flux_id(job)) is not None and not _is_named(job, settings):
        _of_id(flux_id, settings, output, follow=follow)
        return
    expect_own(settings)  # what the tasks printed is asked of the workload manager, as its owner
    with reading(settings) as ledger:
        key = find_job(ledger, job, settings)
        assert ledger is not None  # noqa: S101 - find_job() has found a job in it
        row = ledger.job(key)
    assert row is not None  # noqa: S101 - likewise
    with stop_on_signals() as stop, records_of(settings, stop) as records:
        _show(row, task, records.output, output, follow=follow)


def _show(row: JobRow, task: str | None, read: _Reads, output: str, *, follow: bool) -> None:
    """Show what the tasks that are meant have written, and say why there is nothing."""
    tasks = _chosen(row, task)
    # An id of a task in a group is one of the group's own instance, and says nothing out here:
    # what is kept of its output is in that of the outermost group, behind its name.
    tops = [each for each in tasks if each.group is None]
    inner = [each for each in tasks if each.group is not None]
    asked = tops or [_outermost(row, inner[0])]
    for each in asked:
        if each.flux_id is None:
            _say_it_was_silent(each)
    by_id = {each.flux_id: each for each in asked if each.flux_id is not None}
    show = shower(tops, inner, json_lines=output == "json")
    silent = dict(by_id)
    for piece in read(list(by_id), follow=follow):
        silent.pop(piece.flux_id, None)
        show(by_id[piece.flux_id], piece)
    if tops and len(silent) == len(by_id):
        for each in list(silent.values())[:MAX_SILENT_NAMED]:
            # Followed to its end, whatever it was when that began.
            _say_it_was_silent(replace(each, state=TaskState.COMPLETED) if follow else each)
    if isinstance(show, Labelled):
        show.finish()
    _say_what_is_kept(tops, inner, show)


def _flux_id(text: str) -> int | None:
    """The workload manager's id that a text is; None for rainbow's ids."""
    try:
        return parse_f58(text)
    except ValueError:
        return None


def _is_named(text: str, settings: Settings) -> bool:
    """Whether a job in the ledger has this name; none has where no daemon ran, as beside `run`."""
    if not settings.state_dir.exists():
        return False
    with reading(settings) as ledger:
        return ledger is not None and bool(ledger.find_named(text, limit=1))


def _say_it_was_silent(task: TaskRow) -> None:
    """An empty answer has a reason."""
    if task.flux_id is None and task.state not in FINAL_TASK_STATES:
        what = "has not been submitted yet"
    elif task.flux_id is None:
        what = f"{_ENDS[task.state]} before it was submitted"
    else:
        what = f"{_ENDS[task.state]} and {_WROTE.get(task.state, 'wrote nothing')}"
    because = f": {task.reason}" if task.reason else ""
    click.echo(clean(f"note: {task_name(task)} {what}{because}"), err=True)


def _of_id(flux_id: int, settings: Settings, output: str, *, follow: bool) -> None:
    """The output of one job of the workload manager, whoever submitted it.

    Raises:
        RainbowAgentError: there is no such job.
    """
    show = as_json if output == "json" else raw
    with stop_on_signals() as stop, records_of(settings, stop) as records:
        if not records.eventlog(flux_id):
            raise RainbowAgentError(f"the workload manager has no job {f58(flux_id)}")
        for piece in records.output([flux_id], follow=follow):
            show(None, piece)


def _outermost(row: JobRow, task: TaskRow) -> TaskRow:
    """The group of the top level that a task is in, however deep."""
    name = task.key.task
    by_name = {each.key.task: each for each in row.tasks}
    while (group := by_name[name].group) is not None:
        name = group
    return by_name[name]


def _say_what_is_kept(tops: Sequence[TaskRow], inner: Sequence[TaskRow], show: object) -> None:
    """Silence about a task in a group does not mean that it wrote nothing."""
    jobs = [each for each in inner if each.kind is not TaskKind.LOCAL]
    silent = not isinstance(show, Inner) or not show.shown
    if jobs and silent:
        what = task_name(jobs[0]) if len(jobs) == 1 and not tops else f"{len(jobs)} tasks in groups"
        click.echo(
            clean(
                f"note: of {what} only what `watch: true` keeps is here; the rest ended with the"
                " group's own instance"
            ),
            err=True,
        )


def _chosen(row: JobRow, text: str | None) -> Sequence[TaskRow]:
    """The tasks that are meant, in the plan's order.

    Raises:
        RainbowAgentError: there is none.
    """
    if not row.tasks:
        because = f": {row.reason}" if row.reason else ""
        raise RainbowAgentError(f"job {row.key.id} has no tasks; it is {row.state.value}{because}")
    found = [
        each
        for each in row.tasks
        if text in (None, each.key.task, f"{each.key.task}[{each.key.replica}]")
    ]
    if not found:
        names = ", ".join(dict.fromkeys(each.key.task for each in row.tasks))
        raise RainbowAgentError(f"job {row.key.id} has no task {text!r}; it has: {names}")
    return found
