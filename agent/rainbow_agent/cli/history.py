"""`rainbow-agent history`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from rainbow_agent.cli.common import reports_errors, say, settings_options
from rainbow_agent.cli.ledger import reading, warn_if_no_ledger
from rainbow_agent.core.errors import UsageError
from rainbow_agent.jobspec.handle import without_handle
from rainbow_agent.monitoring.views import TASK_COLUMNS, job_view, story_view, task_rows
from rainbow_agent.runtime.logs import counted
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.storage.ledger import SqliteLedger

#: Jobs that are read from the ledger at once.
JOBS_PER_READ: Final = 500


@click.group(name="history", invoke_without_command=False)
def command() -> None:
    """Export the jobs in the ledger to a file, before the oldest are removed.

    Example: rainbow-agent history export --output jobs.jsonl
    """


@command.command(name="export")
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "parquet"]),
    default="jsonl",
    show_default=True,
    help="jsonl: one line for each job; parquet: one row for each task (needs pyarrow).",
)
@click.option(
    "--output",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write; default: standard output (jsonl).",
)
@settings_options("state_dir")
@reports_errors
def export(form: str, target: Path | None, settings: Settings) -> None:
    """Write every job in the ledger, the first received first, with tasks, story and jobspec.

    The daemon may be running. What RAINBOW_KEEP_JOBS and RAINBOW_KEEP_FOR have removed is no longer
    in the ledger.

    Example: rainbow-agent history export --format parquet --output jobs.parquet
    """
    if form == "parquet" and target is None:
        raise UsageError("parquet is not for standard output: name a file with --output")
    with reading(settings) as ledger:
        warn_if_no_ledger(ledger, settings)
        if form == "parquet":
            number = _write_parquet(ledger, target or Path())
        elif target is None:
            number = sum(1 for line in _lines(ledger) if sys.stdout.write(line))
        else:
            with target.open("w", encoding="utf-8") as file:
                number = sum(1 for line in _lines(ledger) if file.write(line))
    say(counted(number, "job"), err=True)


def _lines(ledger: SqliteLedger | None) -> Iterator[str]:
    """A job a line: as in `jobs -o json`, with `story`, and `jobspec` where it is known."""
    for jobs in ledger.batches(JOBS_PER_READ) if ledger else ():
        texts = ledger.jobspecs([job.key for job in jobs]) if ledger else {}
        for job in jobs:
            story = ledger.story(job.key) if ledger else []
            view: dict[str, Any] = dict(job_view(job))
            view["story"] = [story_view(line) for line in story]
            text = texts.get(job.key)
            view["jobspec"] = None if text is None else without_handle(text)
            yield json.dumps(view, ensure_ascii=False) + "\n"


def _write_parquet(ledger: SqliteLedger | None, target: Path) -> int:
    """A row a task; how many jobs there were."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - large, and not needed for anything else
        from pyarrow import parquet  # noqa: PLC0415 - likewise
    except ImportError as exc:
        raise UsageError(f"parquet needs pyarrow ({exc}): pip install pyarrow, or jsonl") from exc
    kinds = {"text": pa.string(), "number": pa.int64(), "time": pa.timestamp("us", tz="UTC")}
    schema = pa.schema([(name, kinds[kind]) for name, kind in TASK_COLUMNS.items()])
    number = 0
    with parquet.ParquetWriter(target, schema) as writer:
        for jobs in ledger.batches(JOBS_PER_READ) if ledger else ():
            number += len(jobs)
            rows = [row for job in jobs for row in task_rows(job)]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
    return number
