"""`rainbow-agent submit`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
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
    warn_of,
)
from rainbow_agent.cli.sending import sending, wait_for_end
from rainbow_agent.core.errors import JobspecError, UsageError
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.fleet.choosing import Selection
    from rainbow_agent.fleet.fitting import Fitting
    from rainbow_agent.fleet.rainbow_config import RainbowConfig
    from rainbow_agent.fleet.submission import OutgoingJob


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
    "--cluster", metavar="NAME", help="Send it to this cluster, if it fits; default: any."
)
@click.option(
    "--prefer",
    multiple=True,
    metavar="KEY[:asc|desc]",
    help="Send it to the cluster that reports the most (asc: the least) of KEY; or least-loaded,"
    " or cheapest. Where clusters are equal, the next --prefer decides; default: as --select.",
)
@click.option(
    "--select",
    metavar="ALGO",
    help="Selection algorithm, e.g. random; default: the config file's, else the server's.",
)
@click.option(
    "--once",
    metavar="KEY",
    help="The job's key: a cluster that had a job with this key runs no other; default: none.",
)
@click.option("--wait", is_flag=True, help="Wait for its end, and exit as the job did.")
@settings_options("host", "config", "inbox", "sent_dir")
@output_option
@reports_errors
def command(
    *,
    words: tuple[str, ...],
    asked: dict[str, Any],
    name: str | None,
    settings: Settings,
    **how: Any,
) -> None:
    """Submit a job to the fleet: a jobspec, or a plain command after `--`.

    Rainbow is asked which clusters can run it, and it goes to one of them: to the one that is
    named or preferred, or to one that rainbow selects. JOBSPEC `-` is standard input. Where there
    is an inbox, it prints a handle, by which `status` and `wait` know the job from here.

    Example: rainbow-agent submit -N 1 -t 10 -- hostname
    """
    if click.get_current_context().meta["is_command"]:
        document: Mapping[str, Any] = command_jobspec(words, name=name, asked=asked)
    else:
        document = _jobspec(words, asked)
        title = name or document.get("name") or default_name(words[0])
        document = {**document, "name": title} if title else document
    _send(document, settings, **how)


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
        warn_of(words[0], plan_text(text))
    except JobspecError as exc:
        raise UsageError(f"{words[0]}: {exc}") from exc
    document: Mapping[str, Any] = from_wire(text)
    return document


def _send(
    document: Mapping[str, Any],
    settings: Settings,
    *,
    cluster: str | None,
    prefer: tuple[str, ...],
    select: str | None,
    once: str | None,
    satisfy_only: bool,
    wait: bool,
    output: str,
) -> None:
    """Ask rainbow, and say what came of it."""
    from rainbow_agent.fleet import rainbow_config  # noqa: PLC0415 - yaml
    from rainbow_agent.fleet.grpc.connect import connect  # noqa: PLC0415 - grpc
    from rainbow_agent.fleet.retry import patiently  # noqa: PLC0415 - stamina
    from rainbow_agent.fleet.submission import find, job_of, send  # noqa: PLC0415 - likewise

    job = job_of(document, once)
    config = rainbow_config.load(settings.config)
    selection = _selection(config, cluster, prefer, select, job.plan.once)
    tokens = {c.name: c.token for c in config.clusters} if config else {}
    if wait and satisfy_only:
        raise UsageError("--satisfy-only submits nothing that --wait could wait for")
    if satisfy_only:
        with closing(connect(settings)) as scheduler:
            found = patiently(lambda: find(scheduler, job.plan, selection.cluster))
        _show_fitting(job, found, output)
        return
    with sending(job.document, settings, needed=wait) as sent:
        with closing(connect(sent.settings)) as scheduler:
            chosen, found = send(
                scheduler,
                replace(job, document=sent.document),
                selection,
                tokens=tokens,
                fallback_token=settings.token.reveal(),
                config_file=str(settings.config),
            )
        sent.assigned(chosen)
        _show_sent(job, chosen, found, output, sent.handle)
        if wait:
            sys.exit(wait_for_end(sent))


def _selection(
    config: RainbowConfig | None,
    cluster: str | None,
    prefer: tuple[str, ...],
    select: str | None,
    once: str,
) -> Selection:
    """How one of the clusters is chosen: what the options say, else the config file.

    Raises:
        UsageError: options that say different things, or a preference that says nothing.
    """
    from rainbow_agent.fleet.choosing import selection_of  # noqa: PLC0415 - yaml

    given = {"--cluster": cluster, "--prefer": prefer, "--select": select}
    said = [option for option, value in given.items() if value]
    if len(said) > 1:
        raise UsageError(f"{' and '.join(said)} both say where the job goes; give one of them")
    return selection_of(config, cluster=cluster, prefer=prefer, select=select, once=once)


def _show_fitting(job: OutgoingJob, found: Fitting, output: str) -> None:
    if output == "json":
        _echo(job, None, found.clusters, found)
    else:
        say(f"These clusters fit: {', '.join(found.clusters)}")


def _show_sent(
    job: OutgoingJob, chosen: str, found: Fitting, output: str, handle: str | None
) -> None:
    if output == "json":
        _echo(job, chosen, (chosen,), found, handle)
    else:
        say(
            f"Submitted {job.name} to cluster {chosen}"
            f" ({len(found.clusters)} of {found.total} clusters fit)"
            + (f" as {handle}" if handle else "")
        )


def _echo(
    job: OutgoingJob,
    chosen: str | None,
    clusters: tuple[str, ...],
    found: Fitting,
    handle: str | None = None,
) -> None:
    echo_json(
        {
            "name": job.name,
            "handle": handle,
            "cluster": chosen,
            "clusters": list(clusters),
            "total_clusters": found.total,
            "total_matches": len(found.clusters),
        }
    )
