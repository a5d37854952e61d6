"""`rainbow-agent jobs`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from rainbow_agent.cli import completing
from rainbow_agent.cli.common import echo_json, output_option, reports_errors, say, settings_options
from rainbow_agent.cli.ledger import find_job, reading, warn_if_down, warn_if_no_ledger
from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.model import WARNING, JobRow
from rainbow_agent.core.states import JobState
from rainbow_agent.monitoring.task_tree import DRAWN, PLAIN, tree_table
from rainbow_agent.monitoring.views import job_view, table
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.storage.ledger import SqliteLedger

#: Jobs in a table for people.
DEFAULT_MAX_JOBS = 100
#: Columns of a name and of a reason on a terminal.
MAX_NAME_WIDTH = 32
MAX_REASON_WIDTH = 120
_ONE_JOB = (
    "one JOB is shown whatever its state: leave JOB out to choose with --state, --since, --name or"
    " --limit"
)


@click.command(name="jobs")
@click.argument("job", required=False, shell_complete=completing.jobs)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([s.value for s in JobState]),
    help="Only jobs in this state; may be given several times.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"At most this many, the newest; default: {DEFAULT_MAX_JOBS} as text, all as JSON.",
)
@click.option(
    "--since", metavar="TIME", help="Only jobs received since then: 30m, 2h, 1d, 2024-05-17T10:30."
)
@click.option("--name", metavar="PATTERN", help="Only jobs with this name: `ior-*`.")
@settings_options("cluster", "state_dir")
@output_option
@reports_errors
def command(
    *,
    job: str | None,
    states: tuple[str, ...],
    limit: int | None,
    since: str | None,
    name: str | None,
    settings: Settings,
    output: str,
) -> None:
    """List the jobs that this cluster received, or show the tasks of one JOB as a tree.

    JOB is rainbow's id, or REGISTRATION/ID where rainbow used the same id twice (because it lost
    its database). `rainbow-agent explain JOB` tells a job's story.

    Example: rainbow-agent jobs --state running --since 2h -o json
    """
    start = _moment(since)
    with reading(settings) as ledger:
        if job is None:
            warn_if_no_ledger(ledger, settings)
        warn_if_down(settings)
        if job is not None:
            if states or since or name or limit:
                raise UsageError(_ONE_JOB)
            _show_one(ledger, job, settings, output)
            return
        shown = limit or (None if output == "json" else DEFAULT_MAX_JOBS)
        wanted = [JobState(s) for s in states]
        one_more = None if shown is None else shown + 1
        found = (
            ledger.jobs(states=wanted, limit=one_more, newest_first=True, since=start, name=name)
            if ledger
            else []
        )
        counts = ledger.counts() if ledger else {}
    rows = found[:shown][::-1]
    if output == "json":
        echo_json([job_view(row) for row in rows])
        return
    some = " that match" if counts and sum(counts.values()) else ""
    nothing = f"No jobs{some} in {settings.state_dir}."
    click.echo(jobs_table(rows, whole=not _on_terminal()) if rows else nothing)
    if len(found) > len(rows):
        every = sum(n for state, n in counts.items() if not wanted or state in wanted)
        rest = "" if since or name else f"{every - len(rows)} "
        say(f"({rest}older jobs are not shown; see --limit)")


def _cut(text: str, width: int) -> str:
    """At most so many characters; that some are missing shows."""
    end = "…" if _can_draw() else "..."
    return text if len(text) <= width else text[: width - len(end)] + end


def _on_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _moment(text: str | None) -> float | None:
    """Epoch seconds of --since.

    Raises:
        UsageError: it is not a time.
    """
    if text is None:
        return None
    from rainbow_agent.monitoring.since import TIME_EXAMPLES, parse_since  # noqa: PLC0415 - yaml

    moment = parse_since(text, SystemClock().now())
    if moment is None:
        raise UsageError(f"--since {text[:40]!r} is not a time: {TIME_EXAMPLES}")
    return moment


def _show_one(ledger: SqliteLedger | None, text: str, settings: Settings, output: str) -> None:
    key = find_job(ledger, text, settings)
    assert ledger is not None  # noqa: S101 - find_job() has found a job in it
    row = ledger.job(key)
    assert row is not None  # noqa: S101 - likewise
    warnings = [line.cause for line in ledger.story(key) if line.now == WARNING]
    if output == "json":
        echo_json([{**job_view(row), "warnings": warnings}])
        return
    click.echo(jobs_table([row], whole=not _on_terminal()))
    for warning in warnings:
        say(f"warning: {warning}")
    if row.tasks:
        drawn = DRAWN if _can_draw() else PLAIN
        click.echo("\n" + tree_table(row.tasks, SystemClock().now(), drawn))
    click.echo()
    say(f"`rainbow-agent explain {text}` shows its history.")


def _can_draw() -> bool:
    """Whether the terminal or file takes more than ASCII."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().startswith("utf")


def jobs_table(rows: list[JobRow], *, whole: bool) -> str:
    """Jobs for people, one a line.

    Args:
        rows: the jobs.
        whole: whether long names and reasons stay whole: what reads a pipe has no narrow window.
    """
    cells = []
    for row in rows:
        view = job_view(row)
        reason = view["reason"] or ""
        cells.append(
            [
                str(row.key.id),
                row.name if whole else _cut(row.name, MAX_NAME_WIDTH),
                row.state.value,
                str(len(row.tasks)),
                str(view["received"]),
                view["finished"] or "-",
                reason if whole else _cut(reason, MAX_REASON_WIDTH),
            ]
        )
    return table(["ID", "NAME", "STATE", "TASKS", "RECEIVED", "FINISHED", "REASON"], cells)
