"""`rainbow-agent logs`."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable, Sequence

import click

from rainbow_agent.cli import completing
from rainbow_agent.cli.common import output_option, reports_errors, settings_options
from rainbow_agent.cli.ledger import find_job, reading
from rainbow_agent.cli.records import records_of
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.group_events import label
from rainbow_agent.core.model import JobRow, TaskKind, TaskRow
from rainbow_agent.core.workload_values import OutputPiece
from rainbow_agent.runtime.logs import clean
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import stop_on_signals

#: Tasks without output that are named.
MAX_SILENT_NAMED = 5


@click.command(name="logs")
@click.argument("job", shell_complete=completing.jobs)
@click.argument("task", required=False, shell_complete=completing.tasks)
@click.option("-f", "--follow", is_flag=True, help="Follow the output until all tasks are over.")
@settings_options("cluster", "state_dir", "workload")
@output_option
@reports_errors
def command(job: str, task: str | None, follow: bool, settings: Settings, output: str) -> None:
    """Show the output of a JOB's tasks, or of one TASK.

    TASK is a task's name, or `name[2]` for one replica. The output of one task is shown unchanged,
    standard error on standard error. With several tasks, each line begins with the task's name. As
    JSON: one object for each piece. Of tasks in groups only what `watch: true` keeps is there.

    Example: rainbow-agent logs 7 build --follow
    """
    with reading(settings) as ledger:
        key = find_job(ledger, job, settings)
        assert ledger is not None  # noqa: S101 - find_job() has found a job in it
        row = ledger.job(key)
    assert row is not None  # noqa: S101 - likewise
    tasks = _chosen(row, task)
    # An id of a task in a group is one of the group's own instance, and says nothing out here:
    # what is kept of its output is in that of the outermost group, behind its name.
    tops = [each for each in tasks if each.group is None]
    inner = [each for each in tasks if each.group is not None]
    asked = tops or [_outermost(row, inner[0])]
    for each in asked:
        if each.flux_id is None:
            note = (
                f"note: {_name(each)} is {each.state.value}: it never was in the workload manager"
            )
            click.echo(clean(note), err=True)
    by_id = {each.flux_id: each for each in asked if each.flux_id is not None}
    show = _shower(tops, inner, as_json=output == "json")
    silent = dict(by_id)
    with stop_on_signals() as stop, records_of(settings, stop) as records:
        for piece in records.output(list(by_id), follow=follow):
            silent.pop(piece.flux_id, None)
            show(by_id[piece.flux_id], piece)
    if tops and len(silent) == len(by_id):
        _say_nothing_was_written(list(silent.values()))
    if isinstance(show, _Labelled):
        show.finish()
    _say_what_is_kept(tops, inner, show)


def _say_nothing_was_written(tasks: Sequence[TaskRow]) -> None:
    """An empty answer has a reason, one for each task of a few."""
    for each in tasks[:MAX_SILENT_NAMED]:
        because = f": {each.reason}" if each.reason else ""
        click.echo(
            clean(f"note: {_name(each)} is {each.state.value} and wrote nothing{because}"), err=True
        )


def _shower(
    tops: Sequence[TaskRow], inner: Sequence[TaskRow], *, as_json: bool
) -> Callable[[TaskRow, OutputPiece], None]:
    if not tops:
        return _Inner(inner, as_json=as_json)
    if as_json:
        return _json
    return _raw if len(tops) == 1 and not inner else _Labelled()


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
    silent = not isinstance(show, _Inner) or not show.shown
    if jobs and silent:
        what = _name(jobs[0]) if len(jobs) == 1 and not tops else f"{len(jobs)} tasks in groups"
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
    found = [each for each in row.tasks if text in (None, each.key.task, _name(each))]
    if not found:
        names = ", ".join(dict.fromkeys(each.key.task for each in row.tasks))
        raise RainbowAgentError(f"job {row.key.id} has no task {text!r}; it has: {names}")
    return found


def _name(task: TaskRow) -> str:
    return f"{task.key.task}[{task.key.replica}]" if task.key.replica else task.key.task


def _raw(_task: TaskRow, piece: OutputPiece) -> None:
    """As it was written; on a terminal without what a terminal would act on."""
    target = sys.stderr if piece.stream == "stderr" else sys.stdout
    data = piece.data
    if target.isatty():
        text = data.decode(errors="replace")
        data = "\n".join(_harmless(line) for line in text.split("\n")).encode()
    target.buffer.write(data)
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
        click.echo(f"{clean(source[0])}: {_shown(line, source[1])}", err=source[1] == "stderr")


class _Inner(_Labelled):
    """Of a group's output only the lines of these tasks; of one task without its name."""

    def __init__(self, tasks: Sequence[TaskRow], *, as_json: bool) -> None:
        super().__init__()
        self._tasks = {label(each.key): each for each in tasks}
        self._as_json = as_json
        #: Whether there was any.
        self.shown = False

    def _show(self, source: tuple[str, str, str], line: str) -> None:
        head = next((each for each in self._tasks if line.startswith(each)), None)
        if head is None:
            return
        self.shown = True
        _, stream, rank = source
        if self._as_json:
            data = f"{line[len(head) :]}\n".encode()
            _json(self._tasks[head], OutputPiece(0, stream, data, rank))
            return
        text = line[len(head) :] if len(self._tasks) == 1 else line
        click.echo(_shown(text, stream), err=stream == "stderr")


def _shown(line: str, stream: str) -> str:
    """A line for where it goes: a terminal acts on some characters, a file does not."""
    target = sys.stderr if stream == "stderr" else sys.stdout
    return _harmless(line) if target.isatty() else line


def _harmless(line: str) -> str:
    """Without what a terminal acts on, except tabs."""
    return "\t".join(clean(part) for part in line.rstrip("\r").split("\t"))
