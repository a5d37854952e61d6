"""`rainbow-agent fetch`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import closing
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rainbow_agent.cli.common import (
    echo_json,
    output_option,
    reports_errors,
    say,
    settings_options,
)
from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.core.handles import is_handle
from rainbow_agent.runtime.logs import counted
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import stop_on_signals

if TYPE_CHECKING:
    from rainbow_agent.cli.asked_records import AskedRecords
    from rainbow_agent.fleet.messages.fetching import ResultFile, Target

#: Pieces that are asked for at once.
PIECES_AT_ONCE: Final = 8


@click.command(name="fetch")
@click.argument("handle")
@click.argument("pattern", required=False)
@click.option(
    "--to",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="The folder to put them into; default: one called HANDLE.",
)
@settings_options("host", "config", "sent_dir")
@output_option
@reports_errors
def command(
    handle: str, pattern: str | None, folder: Path | None, settings: Settings, output: str
) -> None:
    """Fetch the files that a job's jobspec names as its results, to here.

    They are those that `attributes.results` (`submit --results`) names below the job's `cwd`, where
    the cluster's agent can read them; with PATTERN, those whose names match (`*` is also `/`). A
    fetch that was interrupted continues, and each file's checksum is compared. At most
    RAINBOW_RESULTS_MAX bytes are handed out by a cluster, and fetched here. As JSON: each file with
    `name`, `size`, `sha256`, and `got`, whether it is here.

    Example: rainbow-agent fetch rb-7k3fq2mz5x6yacde 'out/*.csv' --to results
    """
    from rainbow_agent.cli.asked_records import asked_records  # noqa: PLC0415 - grpc
    from rainbow_agent.fleet.messages import fetching  # noqa: PLC0415 - yaml

    if not is_handle(handle):
        raise UsageError(f"{handle[:40]!r} is not a handle: `submit` prints it, as rb-...")
    if not settings.results_max:
        raise UsageError("RAINBOW_RESULTS_MAX is off here, so nothing is fetched")
    with stop_on_signals() as stop, asked_records(handle, settings, stop) as records:
        (answer,) = records.ask({"ask": "results"})
        there, others = fetching.read_listing(answer)
        listed = [file for file in there if fnmatchcase(file.name, pattern or "*")]
        kept_back = [name for name in others if fnmatchcase(name, pattern or "*")]
        files, too_much = fetching.within(listed, settings.results_max)
        if not listed and not kept_back:
            raise RainbowAgentError(f"{handle} has no such result files at {records.job.cluster}")
        with closing(fetching.Target(folder or Path(handle))) as target:
            _fetch(records, target, files, show=output != "json")
    if output == "json":
        echo_json([_view(file, got=file in files) for file in listed])
    left = [f"{file.name} is left out: RAINBOW_RESULTS_MAX here" for file in too_much]
    left += [f"{name} is left out: RAINBOW_RESULTS_MAX of the cluster" for name in kept_back]
    for line in left:
        say(f"error: {line}", err=True)
    if left:
        raise RainbowAgentError(f"{counted(len(left), 'file')} left out")


def _fetch(
    records: AskedRecords, target: Target, files: Sequence[ResultFile], *, show: bool
) -> None:
    """Get what is missing, some pieces at a time, in order; say what is here."""
    todo: list[tuple[ResultFile, int]] = []  # a piece; -1: the file's end
    for file in files:
        if target.has(file):
            _say(file, target, "is here already", show=show)
            continue
        todo += [(file, offset) for offset in target.missing(file)]
        todo.append((file, -1))
    while todo:
        some, todo = todo[:PIECES_AT_ONCE], todo[PIECES_AT_ONCE:]
        asked = [
            {"ask": "file", "name": file.name, "offset": offset}
            for file, offset in some
            if offset >= 0
        ]
        answers = iter(records.ask(*asked) if asked else [])
        for file, offset in some:
            if offset < 0:
                target.finish(file)
                _say(file, target, f"{file.size} bytes", show=show)
            else:
                target.put(file, offset, base64.b64decode(next(answers)["data"]))


def _say(file: ResultFile, target: Target, what: str, *, show: bool) -> None:
    if show:
        say(f"{target.path / file.name}: {what}")


def _view(file: ResultFile, *, got: bool) -> dict[str, Any]:
    return {"name": file.name, "size": file.size, "sha256": file.sha256, "got": got}
