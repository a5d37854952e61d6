"""The nodes of this cluster, for verbs that place a jobspec on them by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rainbow_agent.cli.common import echo_json, say
from rainbow_agent.core.errors import Fatal, NotDescribed, WorkloadUnavailable

if TYPE_CHECKING:
    from rainbow_agent.core.model import Plan
    from rainbow_agent.core.site import Site
    from rainbow_agent.runtime.settings import Settings
    from rainbow_agent.workload.choose import Choice


def on_site(plan: Plan, settings: Settings, choice: Choice) -> Plan:
    """The plan on the nodes that there are; they are asked only where the plan depends on it.

    Raises:
        Unplaceable: no node can run a task of it.
        WorkloadUnavailable: the nodes cannot be looked at.
    """
    from rainbow_agent.jobspec.placement import needs_site, place  # noqa: PLC0415 - yaml

    return place(plan, look(settings, choice)) if needs_site(plan) else plan


def look(settings: Settings, choice: Choice) -> Site:
    """Ask the nodes what they are.

    Raises:
        WorkloadUnavailable: the workload manager cannot be reached, or no node answers.
    """
    from rainbow_agent.inventory.build import build_watcher  # noqa: PLC0415 - grpc
    from rainbow_agent.runtime.stop import Stop  # noqa: PLC0415 - only here
    from rainbow_agent.workload.choose import opener  # noqa: PLC0415 - as below

    watcher = build_watcher(settings, choice, opener(choice, settings), Stop(), keep=False)
    with watcher.once():
        return watcher.site()


def show_plan(plan: Plan, settings: Settings, output: str) -> None:
    """Print a plan, on the nodes that there are where these can be asked.

    Raises:
        Unplaceable: no node can run a task of it.
    """
    from rainbow_agent.jobspec.placement import needs_site  # noqa: PLC0415 - likewise
    from rainbow_agent.monitoring.plan_view import plan_lines, plan_view  # noqa: PLC0415 - only here
    from rainbow_agent.workload.choose import choose  # noqa: PLC0415 - yaml

    if needs_site(plan):
        try:
            plan = on_site(plan, settings, choose(settings))
        except (Fatal, WorkloadUnavailable, NotDescribed) as exc:
            say(f"warning: the nodes are not known, so none is chosen: {exc}", err=True)
    if output == "json":
        echo_json(plan_view(plan))
        return
    for line in plan_lines(plan):
        click.echo(line)
