"""`rainbow-agent satisfy`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rainbow_agent.cli.common import (
    echo_json,
    output_option,
    read_jobspec,
    reports_errors,
    settings_options,
)
from rainbow_agent.cli.state_folder import expect_not_of_others
from rainbow_agent.core.errors import JobspecError, UsageError
from rainbow_agent.runtime.logs import clean
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.core.model import Plan
    from rainbow_agent.jobspec.placement import Verdict


@click.command(name="satisfy")
@click.argument("jobspec")
@settings_options("state_dir", "workload", "subsystems_dir", beside_unit=False)
@output_option
@reports_errors
def command(jobspec: str, settings: Settings, output: str) -> None:
    """Say whether this cluster can run JOBSPEC, and why, without running it.

    Asks each node what it has, and reads your own subsystems (~/.compspec/subsystems). Exits with
    status 0 for yes, 1 for no. Nodes that are down count, because a job would wait for them;
    whether a node is busy does not matter.

    Example: rainbow-agent satisfy examples/requirements.yaml
    """
    from rainbow_agent.cli.placing import look  # noqa: PLC0415 - likewise
    from rainbow_agent.jobspec.placement import judge  # noqa: PLC0415 - likewise
    from rainbow_agent.storage import state_dir  # noqa: PLC0415 - only here
    from rainbow_agent.workload.choose import choose  # noqa: PLC0415 - yaml: heavy

    plan = _plan(jobspec)
    choice = choose(settings)
    if choice.kind == "local":
        expect_not_of_others(settings)
        state_dir.prepare(settings.state_dir)
    verdicts = judge(plan, look(settings, choice))
    good = not any(verdict.problem for verdict in verdicts)
    if output == "json":
        echo_json({"satisfied": good, "tasks": [_view(verdict) for verdict in verdicts]})
    else:
        click.echo("yes" if good else "no")
        for verdict in verdicts:
            click.echo("  " + clean(f"{verdict.task}: {_outcome(verdict)}"))
    raise SystemExit(0 if good else 1)


def _plan(path: str) -> Plan:
    from rainbow_agent.jobspec.plan import plan_text  # noqa: PLC0415 - yaml

    try:
        return plan_text(read_jobspec(path))
    except JobspecError as exc:
        raise UsageError(f"{Path(path)}: {exc}") from exc


def _outcome(verdict: Verdict) -> str:
    from rainbow_agent.core.notation import idset, listed  # noqa: PLC0415 - only here

    if verdict.problem:
        return verdict.problem
    named = f"{verdict.option.resources}: " if verdict.option.resources else ""
    ranks = idset(node.rank for node in verdict.nodes)
    away = listed([node.name for node in verdict.nodes if not node.up])
    wait = "" if verdict.now else f"; not before more of these are up: {away}"
    return f"yes: {named}{verdict.option.shape}, on ranks {ranks}{wait}"


def _view(verdict: Verdict) -> dict[str, Any]:
    fits = not verdict.problem
    return {
        "name": verdict.task,
        "satisfied": fits,
        "now": verdict.now,
        "resources": (verdict.option.resources or None) if fits else None,
        "ranks": [node.rank for node in verdict.nodes] if fits else [],
        "nodes": [node.name for node in verdict.nodes] if fits else [],
        "problem": verdict.problem or None,
    }
