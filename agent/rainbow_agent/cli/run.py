"""`rainbow-agent run`."""

from __future__ import annotations

import os
from contextlib import closing

import click

from rainbow_agent.cli.common import (
    output_option,
    read_jobspec,
    reports_errors,
    say,
    settings_options,
)
from rainbow_agent.core.errors import JobspecError, UsageError
from rainbow_agent.core.model import JobKey, Plan, TaskChange
from rainbow_agent.core.notation import f58
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.logs import when
from rainbow_agent.runtime.settings import Settings


@click.command(name="run")
@click.argument("jobspec")
@click.option("--no-wait", is_flag=True, help="Submit, and do not wait for the result.")
@click.option("--dry-run", is_flag=True, help="Show what would be submitted; submit nothing.")
@settings_options("state_dir", "workload")
@output_option
@reports_errors
def command(jobspec: str, no_wait: bool, dry_run: bool, settings: Settings, output: str) -> None:
    """Run JOBSPEC directly on the local Flux, in dependency order, and watch it.

    Exits with status 0 when every task completed. An interrupt cancels what is unfinished. With
    --dry-run it shows the order, each Flux jobspec, and the nodes that it may run on (for programs:
    -o json); the nodes are queried only if the jobspec has requirements.

    Example: rainbow-agent run examples/pipeline.yaml
    """
    from rainbow_agent.cli.placing import on_site, show_plan  # noqa: PLC0415 - likewise
    from rainbow_agent.jobs.run_once import Run  # noqa: PLC0415 - likewise
    from rainbow_agent.runtime.environment import job_environment  # noqa: PLC0415 - likewise
    from rainbow_agent.runtime.stop import stop_on_signals  # noqa: PLC0415 - likewise
    from rainbow_agent.storage import state_dir  # noqa: PLC0415 - only to run
    from rainbow_agent.workload.choose import choose, opener  # noqa: PLC0415 - yaml: heavy

    plan = _plan(jobspec, settings.shared_fs)
    for warning in plan.warnings:
        say(f"warning: {warning}", err=True)
    if dry_run:
        show_plan(plan, settings, output)
        return
    choice = choose(settings)
    if choice.kind == "local":
        state_dir.prepare(settings.state_dir)
    plan = on_site(plan, settings, choice)
    clock = SystemClock()
    key = JobKey("run", int(clock.now() * 1000))
    with stop_on_signals() as stop, closing(opener(choice, settings)()) as workload:
        run = Run(
            plan,
            key,
            workload=workload,
            environment=job_environment(os.environ, settings.secret_values),
            clock=clock,
            show=_Lines(),
        )
        with closing(workload.open_journal(lambda _: True)) as journal:
            run.submit(stop)
            if not no_wait:
                run.watch(journal, stop)
        if stop.is_set():
            run.cancel()
    if not no_wait and run.failed():
        raise SystemExit(1)


def _plan(path: str, shared_fs: str) -> Plan:
    from rainbow_agent.jobspec.fluxspec import Programs  # noqa: PLC0415 - likewise
    from rainbow_agent.jobspec.plan import plan_text  # noqa: PLC0415 - yaml

    try:
        return plan_text(read_jobspec(path), Programs(shared_fs=shared_fs))
    except JobspecError as exc:
        raise UsageError(f"{path}: {exc}") from exc


class _Lines:
    """Prints what becomes of tasks, with times in order.

    The agent's clock and the workload manager's may differ by some milliseconds.
    """

    def __init__(self) -> None:
        self._last = 0.0

    def __call__(self, news: TaskChange) -> None:
        self._last = max(self._last, news.at)
        name = f"{news.key.task}[{news.key.replica}]" if news.key.replica else news.key.task
        flux_id = f"  {f58(news.flux_id)}" if news.flux_id is not None else ""
        reason = f"  {news.reason}" if news.reason else ""
        say(f"{when(self._last)}  {name:<16} {news.state.value:<10}{flux_id}{reason}")
