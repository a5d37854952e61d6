"""What tasks wrote, on our own standard streams: one task's as it is, of several behind names."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable, Sequence

import click

from rainbow_agent.core.group_events import label
from rainbow_agent.core.model import TaskRow
from rainbow_agent.core.notation import f58
from rainbow_agent.core.workload_values import OutputPiece
from rainbow_agent.runtime.logs import clean


def shower(
    tops: Sequence[TaskRow], inner: Sequence[TaskRow], *, json_lines: bool
) -> Callable[[TaskRow, OutputPiece], None]:
    """What shows pieces of output, given each with the task of the top level that wrote it.

    Args:
        tops: the tasks of the top level that are asked for.
        inner: the tasks in groups.
        json_lines: an object for each piece, in place of text.
    """
    if not tops:
        return Inner(inner, json_lines=json_lines)
    if json_lines:
        return as_json
    return raw if len(tops) == 1 and not inner else Labelled(tops)


def task_name(task: TaskRow, *, replicated: bool = False) -> str:
    """`build`, or `build[2]` for a replica; the first of several has its number, too."""
    numbered = replicated or task.key.replica
    return f"{task.key.task}[{task.key.replica}]" if numbered else task.key.task


def raw(_task: TaskRow | None, piece: OutputPiece) -> None:
    """As it was written; on a terminal without what a terminal would act on."""
    target = sys.stderr if piece.stream == "stderr" else sys.stdout
    target.flush()
    data = piece.data
    if target.isatty():
        text = data.decode(errors="replace")
        data = "\n".join(_harmless(line) for line in text.split("\n")).encode()
    target.buffer.write(data)
    target.flush()


def as_json(task: TaskRow | None, piece: OutputPiece) -> None:
    """An object in one line; without a task, the job's id stands for its name."""
    entry = {
        "task": task.key.task if task else f58(piece.flux_id),
        "replica": task.key.replica if task else 0,
        "stream": piece.stream,
        "rank": piece.rank,
        "text": piece.data.decode(errors="replace"),
    }
    click.echo(json.dumps(entry))


class Labelled:
    """Whole lines, each behind its task's name; what has no newline yet waits for it."""

    def __init__(self, tasks: Sequence[TaskRow] = (), *, all_to_stderr: bool = False) -> None:
        self._replicated = {task.key.task for task in tasks if task.key.replica}
        self._all_to_stderr = all_to_stderr
        self._rest: dict[tuple[str, str, str], str] = {}
        self._decoders: dict[tuple[str, str, str], codecs.IncrementalDecoder] = {}

    def __call__(self, task: TaskRow, piece: OutputPiece) -> None:
        """Show the lines that a piece completes."""
        name = task_name(task, replicated=task.key.task in self._replicated)
        source = (name, piece.stream, piece.rank)
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
        stream = "stderr" if self._all_to_stderr else source[1]
        click.echo(f"{clean(source[0])}: {_shown(line, stream)}", err=stream == "stderr")


class Inner(Labelled):
    """Of a group's output only the lines of these tasks; of one task without its name."""

    def __init__(self, tasks: Sequence[TaskRow], *, json_lines: bool) -> None:
        super().__init__()
        self._tasks = {label(each.key): each for each in tasks}
        self._json_lines = json_lines
        #: Whether there was any.
        self.shown = False

    def _show(self, source: tuple[str, str, str], line: str) -> None:
        head = next((each for each in self._tasks if line.startswith(each)), None)
        if head is None:
            return
        self.shown = True
        _, stream, rank = source
        if self._json_lines:
            data = f"{line[len(head) :]}\n".encode()
            as_json(self._tasks[head], OutputPiece(0, stream, data, rank))
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
