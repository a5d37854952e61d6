"""`rainbow-agent run`."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from rainbow_agent.cli.common import (
    echo_json,
    output_option,
    read_jobspec,
    reports_errors,
    say,
    settings_options,
    warn_of,
)
from rainbow_agent.cli.run_show import Lines, following
from rainbow_agent.cli.state_folder import expect_not_of_others
from rainbow_agent.core.errors import JobspecError, UsageError
from rainbow_agent.core.model import JobKey, JobRow, Plan
from rainbow_agent.core.states import JobState
from rainbow_agent.monitoring.remedies import blamed
from rainbow_agent.monitoring.views import job_view
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.logs import counted
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.workload.choose import Choice


@click.command(name="run")
@click.argument("jobspec")
@click.option("--no-wait", is_flag=True, help="Submit, and do not wait for the result.")
@click.option("--dry-run", is_flag=True, help="Show what would be submitted; submit nothing.")
@settings_options("state_dir", "workload", beside_unit=False)
@output_option
@reports_errors
def command(jobspec: str, no_wait: bool, dry_run: bool, settings: Settings, output: str) -> None:
    """Run JOBSPEC directly on the local Flux, in dependency order, and watch it.

    Shows what the tasks print and, on standard error, their states. Exits with status 0 when every
    task completed. An interrupt cancels what is unfinished. With -o json, standard output is one
    object at the end. With --dry-run it shows the order, each Flux jobspec, and the nodes that it
    may run on; the nodes are queried only if the jobspec has requirements.

    Example: rainbow-agent run examples/pipeline.yaml
    """
    from rainbow_agent.cli.placing import on_site, show_plan  # noqa: PLC0415 - heavy
    from rainbow_agent.storage import state_dir  # noqa: PLC0415 - only to run
    from rainbow_agent.workload.choose import choose  # noqa: PLC0415 - yaml: heavy

    plan = _plan(jobspec, settings.shared_fs)
    for warning in plan.warnings:
        say(f"warning: {warning}", err=True)
    if dry_run:
        show_plan(plan, settings, output)
        return
    choice = choose(settings)
    if choice.kind == "local":
        expect_not_of_others(settings)
        state_dir.prepare(settings.state_dir)
    plan = on_site(plan, settings, choice)
    say(f"Running {_what(plan)} on {_where(choice)}", err=True)
    job = _run(plan, choice, settings, wait=not no_wait, text=output == "text")
    if output == "json":
        place = {"kind": choice.kind, "uri": choice.uri or None}
        view: dict[str, Any] = dict(job_view(job))
        kept = ("name", "state", "reason", "tasks")
        echo_json({"workload": place, **{name: view[name] for name in kept}})
    _say_the_end(job)
    if not no_wait and job.state is not JobState.COMPLETED:
        raise SystemExit(1)


def _run(plan: Plan, choice: Choice, settings: Settings, *, wait: bool, text: bool) -> JobRow:
    """Submit it, and show what becomes of it; with `wait` until it is over."""
    from rainbow_agent.jobs.run_once import Run  # noqa: PLC0415 - with what it needs
    from rainbow_agent.runtime.environment import job_environment  # noqa: PLC0415 - likewise
    from rainbow_agent.runtime.stop import stop_on_signals  # noqa: PLC0415 - likewise
    from rainbow_agent.workload.choose import opener  # noqa: PLC0415 - likewise

    clock, lines = SystemClock(), Lines()
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        workload = stack.enter_context(closing(opener(choice, settings)()))
        run = Run(
            plan,
            JobKey("run", int(clock.now() * 1000)),
            workload=workload,
            environment=job_environment(os.environ, settings.secret_values),
            clock=clock,
            show=lambda news: lines.show(news, run.job),
        )
        journal = stack.enter_context(closing(workload.open_journal(lambda _: True)))
        run.submit(stop)
        with following(run.job().tasks if wait else (), choice, as_it_is=text):
            if wait:
                run.watch(journal, stop)
            if stop.is_set():
                run.cancel()
        return run.job(canceled=stop.is_set() and not run.over())


def _plan(path: str, shared_fs: str) -> Plan:
    from rainbow_agent.cli.command_options import default_name  # noqa: PLC0415 - only to run
    from rainbow_agent.jobspec.fluxspec import Programs  # noqa: PLC0415 - likewise
    from rainbow_agent.jobspec.plan import plan_text  # noqa: PLC0415 - yaml

    try:
        plan = plan_text(read_jobspec(path), Programs(shared_fs=shared_fs))
        warn_of(path, plan)
    except JobspecError as exc:
        raise UsageError(f"{path}: {exc}") from exc
    return plan if plan.name else replace(plan, name=default_name(path))


def _what(plan: Plan) -> str:
    tasks = sum(task.replicas for task, _ in plan.every_task())
    return f"{plan.name or 'a jobspec'} ({counted(tasks, 'task')})"


def _where(choice: Choice) -> str:
    if choice.kind == "local":
        return f"the local workload manager in {choice.uri} ({choice.why})"
    return f"Flux{f' at {choice.uri}' if choice.uri else ''} ({choice.why})"


def _say_the_end(job: JobRow) -> None:
    """How it ended, and how to look at it again."""
    name = job.name or "the job"
    how = f"{'was ' if job.state is JobState.CANCELED else ''}{job.state.value}"
    how = "continues" if job.state is JobState.RUNNING else how
    why = "".join(f": {part}" for part in blamed(job) if part)
    known = any(task.flux_id is not None for task in job.tasks)
    again = "; `rainbow-agent logs ID` shows a task's output again" if known else ""
    say(f"{name} {how}{why}{again}", err=True)
