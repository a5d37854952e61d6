"""What could follow on the command line: job ids and task names, out of the ledger.

Nothing here may print or fail: a shell waits for it, in the middle of a line.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress

import click
from click.shell_completion import CompletionItem

from rainbow_agent.cli.ledger import reading
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.monitoring.find_job import find_job
from rainbow_agent.runtime.logs import clean
from rainbow_agent.runtime.service import load_beside
from rainbow_agent.runtime.settings import Settings

#: Job ids that are offered, the newest first.
MAX_COMPLETIONS = 50


def jobs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of the last jobs, each with its state and name."""
    return _jobs(ctx, incomplete, ())


def open_jobs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of the last jobs that are not over."""
    return _jobs(ctx, incomplete, [s for s in JobState if s not in FINAL_JOB_STATES])


def tasks(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the tasks of the job that stands before."""
    found: dict[str, str] = {}
    settings = _settings(ctx)
    with suppress(RainbowAgentError, OSError), reading(settings) as ledger:
        key = find_job(ledger, str(ctx.params.get("job") or ""), settings)
        row = ledger.job(key) if ledger else None
        for task in row.tasks if row else ():
            found.setdefault(task.key.task, task.state.value)
    return [
        CompletionItem(name, help=state)
        for name, state in found.items()
        if name.startswith(incomplete)
    ]


def _jobs(
    ctx: click.Context, incomplete: str, states: Collection[JobState]
) -> list[CompletionItem]:
    with suppress(RainbowAgentError, OSError), reading(_settings(ctx)) as ledger:
        rows = (
            ledger.jobs(states=states, limit=MAX_COMPLETIONS, newest_first=True, with_tasks=False)
            if ledger
            else []
        )
        return [
            CompletionItem(str(row.key.id), help=clean(f"{row.state.value} {row.name}".strip()))
            for row in rows
            if str(row.key.id).startswith(incomplete)
        ]
    return []


def _settings(ctx: click.Context) -> Settings:
    """Where the ledger is. Options on the line so far count; the config file does not matter."""
    words = {**os.environ}
    state_dir = ctx.params.get("state_dir")
    return load_beside(words, {"state_dir": state_dir if isinstance(state_dir, str) else None})
