"""`rainbow-agent jobs`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from rainbow_agent.cli import completing
from rainbow_agent.cli.common import echo_json, output_option, reports_errors, say, settings_options
from rainbow_agent.cli.job_tables import jobs_table, tasks_table
from rainbow_agent.cli.ledger import reading, warn_if_down, warn_if_no_ledger
from rainbow_agent.cli.sent import show_all
from rainbow_agent.cli.watching import Picture, every_option, watch
from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.model import WARNING, JobKey, JobRow
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.monitoring.find_job import find_job
from rainbow_agent.monitoring.views import job_view
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.storage.ledger import SqliteLedger

#: Jobs in a table for people.
DEFAULT_MAX_JOBS = 100
#: All states of jobs that are not over, for --state.
ACTIVE = "active"


@dataclass(frozen=True)
class _Wanted:
    """Which jobs are asked for."""

    states: Sequence[JobState] = ()  # none: all
    since: float | None = None
    name: str | None = None
    limit: int | None = None  # None: as many as are good to look at


@click.command(name="jobs")
@click.argument("jobs", nargs=-1, metavar="[JOB]...", shell_complete=completing.jobs)
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([ACTIVE, *(s.value for s in JobState)]),
    help=f"Only jobs in this state, or {ACTIVE} (not over); may be repeated; default: all.",
)
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=1),
    help=f"At most this many, the newest; default: {DEFAULT_MAX_JOBS} as text, all as JSON.",
)
@click.option(
    "--since",
    metavar="TIME",
    help="Only jobs received since then (30m, 2h, 1d, 2024-05-17T10:30); default: all.",
)
@click.option("--name", metavar="PATTERN", help="Only jobs with this name (`ior-*`); default: all.")
@click.option("--watch", "watching", is_flag=True, help="Keep the list up to date; ^C ends it.")
@every_option
@click.option("--sent", is_flag=True, help="List the jobs that were sent from here instead.")
@settings_options("cluster", "state_dir", "host", "config", "sent_dir")
@output_option
@reports_errors
def command(
    *,
    jobs: tuple[str, ...],
    states: tuple[str, ...],
    limit: int | None,
    since: str | None,
    name: str | None,
    watching: bool,
    every: float,
    sent: bool,
    settings: Settings,
    output: str,
) -> None:
    """List the jobs that this cluster received, or show the tasks of each JOB as a tree.

    JOB is rainbow's id, or REGISTRATION/ID where rainbow used the same id twice (because it lost
    its database). `rainbow-agent explain JOB` tells a job's story. With --sent: the jobs that were
    sent from here, on all clusters, as last reported.

    Example: rainbow-agent jobs --state active --since 2h -o json
    """
    if sent:
        if jobs or states or since or name or watching:
            raise UsageError(
                "--sent lists all jobs that were sent from here; only --limit goes with it."
                " `rainbow-agent status HANDLE` shows one of them"
            )
        show_all(settings, limit or (None if output == "json" else DEFAULT_MAX_JOBS), output)
        return
    if jobs and (states or since or name or limit):
        raise UsageError(
            "a JOB is shown whatever its state: leave JOB out to choose with --state, --since,"
            " --name or --limit"
        )
    wanted = _Wanted(_states(states), _moment(since), name, limit)
    if watching:
        watch(lambda: _picture(jobs, wanted, settings, output), every, output)
    elif jobs:
        _show_some(jobs, settings, output)
    else:
        _list(wanted, settings, output)


def _states(texts: Sequence[str]) -> list[JobState]:
    found = [s for s in JobState if s not in FINAL_JOB_STATES] if ACTIVE in texts else []
    return list(dict.fromkeys([*found, *(JobState(text) for text in texts if text != ACTIVE)]))


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


def _list(wanted: _Wanted, settings: Settings, output: str) -> None:
    with reading(settings) as ledger:
        warn_if_no_ledger(ledger, settings)
        warn_if_down(settings)
        rows, older = _rows(ledger, wanted, output)
    if output == "json":
        echo_json([job_view(row) for row in rows])
    else:
        click.echo(_list_text(rows, older, wanted, settings))


def _rows(
    ledger: SqliteLedger | None, wanted: _Wanted, output: str
) -> tuple[list[JobRow], int | None]:
    """The newest that are wanted, oldest first, and how many older ones there are: None: some."""
    if ledger is None:
        return [], 0
    limit = wanted.limit or (None if output == "json" else DEFAULT_MAX_JOBS)
    rows = ledger.jobs(
        states=wanted.states,
        limit=None if limit is None else limit + 1,
        newest_first=True,
        since=wanted.since,
        name=wanted.name,
    )
    if limit is None or len(rows) <= limit:
        return rows[::-1], 0
    counts = ledger.counts()
    every = sum(n for state, n in counts.items() if not wanted.states or state in wanted.states)
    older = None if wanted.since or wanted.name else every - limit
    return rows[:limit][::-1], older


def _list_text(rows: list[JobRow], older: int | None, wanted: _Wanted, settings: Settings) -> str:
    if not rows:
        some = " that match" if wanted.states or wanted.since or wanted.name else ""
        return f"No jobs{some} in {settings.state_dir}."
    text = jobs_table(rows, SystemClock().now())
    if older == 0:
        return text
    some = "" if older is None else f"{older} "
    return f"{text}\n({some}older jobs are not shown; see --limit)"


def _keys(ledger: SqliteLedger | None, jobs: Sequence[str], settings: Settings) -> list[JobKey]:
    return list(dict.fromkeys(find_job(ledger, job, settings) for job in jobs))


def _show_some(jobs: Sequence[str], settings: Settings, output: str) -> None:
    with reading(settings) as ledger:
        warn_if_down(settings)
        found = [_one(ledger, key) for key in _keys(ledger, jobs, settings)]
    if output == "json":
        echo_json([{**job_view(row), "warnings": warnings} for row, warnings in found])
        return
    for n, (row, warnings) in enumerate(found):
        click.echo(("\n" if n else "") + jobs_table([row], SystemClock().now()))
        for warning in warnings:
            say(f"warning: {warning}")
        if row.tasks:
            click.echo("\n" + tasks_table(row.tasks, SystemClock().now()))
        click.echo()
        say(f"`rainbow-agent explain {row.key.id}` shows its history.")


def _one(ledger: SqliteLedger | None, key: JobKey) -> tuple[JobRow, list[str]]:
    """A job that is there, and what of its jobspec may surprise."""
    row = ledger.job(key) if ledger else None
    assert ledger is not None and row is not None  # noqa: S101, PT018 - find_job() has found it
    return row, [line.cause for line in ledger.story(key) if line.now == WARNING]


def _picture(jobs: Sequence[str], wanted: _Wanted, settings: Settings, output: str) -> Picture:
    """The list, or the tasks of these jobs, as it is now."""
    now = SystemClock().now()
    with reading(settings) as ledger:
        if jobs:
            rows = [_one(ledger, key)[0] for key in _keys(ledger, jobs, settings)]
            older: int | None = 0
        else:
            rows, older = _rows(ledger, wanted, output)
    views: list[dict[str, Any]] = [dict(job_view(row)) for row in rows]

    def text() -> str:
        if not jobs:
            return _list_text(rows, older, wanted, settings)
        return "\n\n".join(
            f"{jobs_table([row], now)}\n\n{tasks_table(row.tasks, now)}" for row in rows
        )

    return Picture(text, views, views)
