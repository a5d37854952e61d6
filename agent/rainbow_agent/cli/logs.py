"""`rainbow-agent logs`."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Sequence

import click

from rainbow_agent.cli import completing
from rainbow_agent.cli.common import output_option, reports_errors, settings_options
from rainbow_agent.cli.ledger import find_job, reading
from rainbow_agent.cli.records import records_of
from rainbow_agent.errors import RainbowAgentError
from rainbow_agent.logs import clean
from rainbow_agent.model import JobRow, OutputPiece, TaskKind, TaskRow
from rainbow_agent.settings import Settings
from rainbow_agent.stop import stop_on_signals


@click.command(name="logs")
@click.argument("job", shell_complete=completing.jobs)
@click.argument("task", required=False, shell_complete=completing.tasks)
@click.option("-f", "--follow", is_flag=True, help="Go on as they write, until all are over.")
@settings_options("cluster", "state_dir", "workload")
@output_option
@reports_errors
def command(job: str, task: str | None, follow: bool, settings: Settings, output: str) -> None:
    """Show what the tasks of a JOB wrote, or one TASK of it.

    TASK is its name, or `name[2]` for one replica. One task's output comes as it was written, what
    went to standard error to standard error. With several, each line begins with its task. As
    JSON: one object a piece.

    Example: rainbow-agent logs 7 build --follow
    """
    with reading(settings) as ledger:
        key = find_job(ledger, job)
        assert ledger is not None  # noqa: S101 - find_job() has found a job in it
        row = ledger.job(key)
    assert row is not None  # noqa: S101 - likewise
    tasks = _chosen(row, task)
    # An id of a task in a group is one of the group's own instance, and says nothing out here.
    sent = [each for each in tasks if each.flux_id is not None and each.group is None]
    for each in tasks:
        if each.flux_id is None or each.group is not None:
            click.echo(clean(f"note: {_name(each)} {_why_none(each)}"), err=True)
    show = _json if output == "json" else (_raw if len(tasks) == 1 else _Labelled())
    by_id = {each.flux_id: each for each in sent if each.flux_id is not None}
    with stop_on_signals() as stop, records_of(settings, stop) as records:
        for piece in records.output(list(by_id), follow=follow):
            show(by_id[piece.flux_id], piece)
    if isinstance(show, _Labelled):
        show.finish()


def _why_none(task: TaskRow) -> str:
    """Why there is nothing to show of a task by itself."""
    if task.group is None:
        return f"is {task.state.value}: it never was in the workload manager"
    if task.kind is TaskKind.LOCAL:
        return f"is a local task: what it wrote is in the output of {task.key.task.split('/')[0]}"
    return f"is in group {task.group}: its output ends with the group's instance"


def _chosen(row: JobRow, text: str | None) -> Sequence[TaskRow]:
    """The tasks that are meant, in the plan's order.

    Raises:
        RainbowAgentError: there is none.
    """
    if not row.tasks:
        because = f": {row.reason}" if row.reason else ""
        raise RainbowAgentError(f"job {row.key.id} has no tasks; it is {row.state.value}{because}")
    found = [each for each in row.tasks if text in (None, each.key.task, _name(each))]
    if not found:
        names = ", ".join(dict.fromkeys(each.key.task for each in row.tasks))
        raise RainbowAgentError(f"job {row.key.id} has no task {text!r}; it has: {names}")
    return found


def _name(task: TaskRow) -> str:
    return f"{task.key.task}[{task.key.replica}]" if task.key.replica else task.key.task


def _raw(_task: TaskRow, piece: OutputPiece) -> None:
    """As it was written."""
    target = sys.stderr if piece.stream == "stderr" else sys.stdout
    target.buffer.write(piece.data)
    target.flush()


def _json(task: TaskRow, piece: OutputPiece) -> None:
    entry = {
        "task": task.key.task,
        "replica": task.key.replica,
        "stream": piece.stream,
        "rank": piece.rank,
        "text": piece.data.decode(errors="replace"),
    }
    click.echo(json.dumps(entry))


class _Labelled:
    """Whole lines, each behind its task's name; what has no newline yet waits for it."""

    def __init__(self) -> None:
        self._rest: dict[tuple[str, str, str], str] = {}
        self._decoders: dict[tuple[str, str, str], codecs.IncrementalDecoder] = {}

    def __call__(self, task: TaskRow, piece: OutputPiece) -> None:
        source = (_name(task), piece.stream, piece.rank)
        decoder = self._decoders.setdefault(
            source, codecs.getincrementaldecoder("utf-8")(errors="replace")
        )
        *lines, rest = (self._rest.get(source, "") + decoder.decode(piece.data)).split("\n")
        self._rest[source] = rest
        for line in lines:
            self._show(source, line)

    def finish(self) -> None:
        """Show what never got its newline."""
        for source, rest in self._rest.items():
            if rest:
                self._show(source, rest)

    def _show(self, source: tuple[str, str, str], line: str) -> None:
        click.echo(f"{clean(source[0])}: {line}", err=source[1] == "stderr")
