"""`rainbow-agent submit`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rainbow_agent.cli.command_options import command_jobspec, command_options, default_name
from rainbow_agent.cli.common import (
    echo_json,
    output_option,
    read_jobspec,
    reports_errors,
    say,
    settings_options,
)
from rainbow_agent.core.errors import JobspecError, UsageError
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.fleet.submission import Assignment


class _Submit(click.Command):
    """Remembers whether `--` was given: what follows it is a command, never a file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["is_command"] = "--" in args
        return super().parse_args(ctx, args)


@click.command(name="submit", cls=_Submit)
@click.argument("words", nargs=-1, required=True, metavar="JOBSPEC.yaml | -- COMMAND")
@command_options
@click.option(
    "--name",
    "--job-name",
    help="The job's name in rainbow's list; default: the jobspec's, else the file's or program's.",
)
@click.option(
    "--satisfy-only", is_flag=True, help="Show which clusters could run it; submit nothing."
)
@click.option(
    "--select",
    default="",
    metavar="ALGO",
    help="Selection algorithm, e.g. random; default: the server's.",
)
@settings_options("host", "config")
@output_option
@reports_errors
def command(
    *,
    words: tuple[str, ...],
    asked: dict[str, Any],
    name: str | None,
    satisfy_only: bool,
    select: str,
    settings: Settings,
    output: str,
) -> None:
    """Submit a job to the fleet: a jobspec, or a plain command after `--`.

    Rainbow finds the clusters that match (Satisfy) and assigns the job to one of them (SubmitJob).
    JOBSPEC `-` is standard input.

    Example: rainbow-agent submit -N 2 -t 10 -- hostname
    """
    if click.get_current_context().meta["is_command"]:
        document: Mapping[str, Any] = command_jobspec(words, name=name, asked=asked)
    else:
        document = _jobspec(words, asked)
        title = name or document.get("name") or default_name(words[0])
        document = {**document, "name": title} if title else document
    sent = _send(document, settings, select=select, satisfy_only=satisfy_only)
    _show(sent, output, satisfy_only=satisfy_only)


def _jobspec(words: tuple[str, ...], asked: Mapping[str, Any]) -> Mapping[str, Any]:
    """The jobspec in the file that the one word names, checked before it is sent."""
    from rainbow_agent.jobspec.plan import plan_text  # noqa: PLC0415 - yaml
    from rainbow_agent.jobspec.wire import from_wire  # noqa: PLC0415 - yaml

    if len(words) > 1 or asked:
        raise UsageError(
            "a jobspec is one file, and what it asks for stands in it. To submit a command, write"
            f" it after `--`: rainbow-agent submit ... -- {' '.join(words)}"
        )
    if words[0] != "-" and not Path(words[0]).exists() and not Path(words[0]).suffix:
        raise UsageError(
            f"there is no jobspec file {words[0]}. To submit a command, write it after `--`:"
            f" rainbow-agent submit -- {words[0]}"
        )
    text = read_jobspec(words[0])
    try:
        plan_text(text)
    except JobspecError as exc:
        raise UsageError(f"{words[0]}: {exc}") from exc
    document: Mapping[str, Any] = from_wire(text)
    return document


def _send(
    document: Mapping[str, Any], settings: Settings, *, select: str, satisfy_only: bool
) -> Assignment:
    from rainbow_agent.fleet import rainbow_config  # noqa: PLC0415 - yaml
    from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc
    from rainbow_agent.fleet.retry import patiently  # noqa: PLC0415 - stamina
    from rainbow_agent.fleet.submission import send  # noqa: PLC0415 - with the others
    from rainbow_agent.jobspec.variants import variants  # noqa: PLC0415 - likewise
    from rainbow_agent.jobspec.wire import to_wire  # noqa: PLC0415 - yaml

    config = rainbow_config.load(settings.config)
    with closing(connect(settings)) as scheduler:
        return patiently(
            lambda: send(
                scheduler,
                document,
                name=str(document.get("name") or "job"),
                tokens={c.name: c.token for c in config.clusters} if config else {},
                fallback_token=settings.token.reveal(),
                to_wire=to_wire,
                select=select,
                satisfy_only=satisfy_only,
                asking=variants(document),
            )
        )


def _show(sent: Assignment, output: str, *, satisfy_only: bool) -> None:
    if output == "json":
        echo_json(
            {
                "name": sent.name,
                "cluster": None if satisfy_only else sent.clusters[0],
                "clusters": list(sent.clusters),
                "total_clusters": sent.answer.total_clusters,
                "total_matches": sent.answer.total_matches,
            }
        )
    elif satisfy_only:
        say(f"These clusters match: {', '.join(sent.clusters)}")
    else:
        say(
            f"Submitted {sent.name} to cluster {sent.clusters[0]}"
            f" ({sent.answer.total_matches} of {sent.answer.total_clusters} clusters match)"
        )
