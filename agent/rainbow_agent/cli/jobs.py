"""`rainbow-agent jobs`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from rainbow_agent.cli.common import echo_json, output_option, reports_errors, settings_options
from rainbow_agent.cli.ledger import find_job, reading, warn_if_down
from rainbow_agent.model import JobRow, JobState
from rainbow_agent.ports import Ledger
from rainbow_agent.settings import Settings
from rainbow_agent.views import job_view, story_view, table, task_view

#: Jobs in a table for people.
LIMIT = 100


@click.command(name="jobs")
@click.argument("job", required=False)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([s.value for s in JobState]),
    help="Only jobs in this state; may be repeated.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"The newest so many; default: {LIMIT} as text, all as JSON.",
)
@settings_options("cluster", "state_dir")
@output_option
@reports_errors
def command(
    job: str | None,
    states: tuple[str, ...],
    limit: int | None,
    settings: Settings,
    output: str,
) -> None:
    """Show what became of the jobs this cluster received, or of one JOB with its story.

    JOB is rainbow's id, or REGISTRATION/ID where rainbow gave the same id twice (its database was
    lost in between).

    Example: rainbow-agent jobs --state running -o json
    """
    with reading(settings) as ledger:
        warn_if_down(settings)
        if job is not None:
            _show_one(ledger, job, output)
            return
        wanted = [JobState(s) for s in states]
        shown = limit or (None if output == "json" else LIMIT)
        rows = ledger.jobs(states=wanted, limit=shown, newest_first=True) if ledger else []
        rows.reverse()
        counts = ledger.counts() if ledger else {}
    if output == "json":
        echo_json([job_view(row) for row in rows])
        return
    click.echo(jobs_table(rows) if rows else "No jobs.")
    total = sum(n for state, n in counts.items() if not wanted or state in wanted)
    if total > len(rows):
        click.echo(f"({total - len(rows)} older jobs are not shown; see --limit)")


def _show_one(ledger: Ledger | None, text: str, output: str) -> None:
    key = find_job(ledger, text)
    assert ledger is not None  # noqa: S101 - find_job() has found a job in it
    row = ledger.job(key)
    assert row is not None  # noqa: S101 - likewise
    if output == "json":
        echo_json([job_view(row)])
        return
    click.echo(jobs_table([row]))
    if row.tasks:
        click.echo("\n" + tasks_table(row))
    click.echo()
    # By time: what several threads saw is written in the order in which they came to write.
    lines = [story_view(line) for line in sorted(ledger.story(key), key=lambda line: line.at)]
    click.echo(
        table(
            ["TIME", "TASK", "STATE", "CAUSE"],
            [
                [
                    str(s["time"]),
                    _who(s),
                    s["now"],
                    s["cause"],
                ]
                for s in lines
            ],
        )
    )


def _who(line: Mapping[str, Any]) -> str:
    """Whom a line of the story is about: the job, all of a task, or one replica."""
    task, replica = line["task"], line["replica"]
    return str(task or "") if not replica else f"{task}[{replica}]"


def jobs_table(rows: list[JobRow]) -> str:
    """Jobs for people, one a line."""
    cells = []
    for row in rows:
        view = job_view(row)
        cells.append(
            [
                str(row.key.id),
                row.name[:32],
                row.state.value,
                str(len(row.tasks)),
                str(view["received"]),
                view["finished"] or "-",
                (row.reason or "")[:120],
            ]
        )
    return table(["ID", "NAME", "STATE", "TASKS", "RECEIVED", "FINISHED", "REASON"], cells)


def tasks_table(row: JobRow) -> str:
    """The tasks of one job for people."""
    cells = []
    for task in row.tasks:
        view = task_view(task)
        code = view["exit_code"]
        cells.append(
            [
                view["name"] if task.key.replica == 0 else f"{view['name']}[{view['replica']}]",
                view["state"],
                "-" if code is None else str(code),
                view["started"] or "-",
                view["finished"] or "-",
                ",".join(view["depends_on"]) or "-",
                view["flux_id"] or "-",
            ]
        )
    return table(["TASK", "STATE", "EXIT", "STARTED", "FINISHED", "DEPENDS ON", "FLUX ID"], cells)
