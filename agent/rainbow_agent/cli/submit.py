"""`rainbow-agent submit`."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import click

from rainbow_agent.cli.common import echo_json, output_option, reports_errors, settings_options
from rainbow_agent.errors import JobspecError, UsageError
from rainbow_agent.settings import Settings


@click.command(name="submit", context_settings={"ignore_unknown_options": False})
@click.argument("jobspec_or_command", nargs=-1, required=True, metavar="JOBSPEC.yaml | -- COMMAND")
@click.option("--nodes", type=click.IntRange(min=1), help="Nodes for COMMAND; default 1.")
@click.option("--cores", type=click.IntRange(min=1), help="Cores for COMMAND on each node.")
@click.option("--gpus", type=click.IntRange(min=1), help="GPUs for COMMAND on each node.")
@click.option("--name", help="The job's name in rainbow's list; default: the jobspec's own.")
@click.option("--satisfy-only", is_flag=True, help="Ask which clusters could; submit nothing.")
@click.option("--select", default="", metavar="ALGO", help="Selection algorithm, e.g. random.")
@settings_options("host", "config")
@output_option
@reports_errors
def command(  # noqa: PLR0917 - click passes by name
    jobspec_or_command: tuple[str, ...],
    nodes: int | None,
    cores: int | None,
    gpus: int | None,
    name: str | None,
    satisfy_only: bool,
    select: str,
    settings: Settings,
    output: str,
) -> None:
    """Send a job to the fleet: a jobspec, or a plain command after `--`.

    Rainbow says which clusters match (Satisfy) and gives the job to one of them (SubmitJob).

    Example: rainbow-agent submit --nodes 1 -- echo hello
    """
    from rainbow_agent.adapters import rainbow_config  # noqa: PLC0415 - yaml, grpc: heavy
    from rainbow_agent.adapters.rainbow_grpc import RainbowScheduler  # noqa: PLC0415
    from rainbow_agent.adapters.retrying import patiently  # noqa: PLC0415
    from rainbow_agent.jobspec import wire  # noqa: PLC0415
    from rainbow_agent.submitting import send  # noqa: PLC0415

    asked = {"nodes": nodes, "cores": cores, "gpus": gpus}
    document = _document(jobspec_or_command, asked, name)
    config = rainbow_config.load(settings.config)
    with closing(RainbowScheduler(settings.host, settings.timeout)) as scheduler:
        sent = patiently(
            lambda: send(
                scheduler,
                document,
                name=name or str(document.get("name") or "job"),
                tokens={c.name: c.token for c in config.clusters} if config else {},
                fallback_token=settings.token.reveal(),
                to_wire=wire.to_wire,
                select=select,
                satisfy_only=satisfy_only,
            )
        )
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
        click.echo(f"These clusters fit: {', '.join(sent.clusters)}")
    else:
        count, matches = sent.answer.total_clusters, sent.answer.total_matches
        click.echo(
            f"Submitted {sent.name} to cluster {sent.clusters[0]}"
            f" ({matches} of {count} clusters fit)"
        )


def _document(
    words: tuple[str, ...], asked: Mapping[str, int | None], name: str | None
) -> Mapping[str, Any]:
    """The jobspec that the arguments mean.

    One word that names a file is a jobspec, unless resources were asked for.
    """
    from rainbow_agent.jobspec.plan import plan_text  # noqa: PLC0415 - yaml
    from rainbow_agent.jobspec.simple import simple_jobspec  # noqa: PLC0415
    from rainbow_agent.jobspec.wire import from_wire  # noqa: PLC0415

    if len(words) > 1 or any(asked.values()) or not _is_jobspec(words[0]):
        return simple_jobspec(words, name=name, **asked)
    path = Path(words[0])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise UsageError(f"cannot read jobspec {path}: {exc}") from exc
    try:
        plan_text(text)
    except JobspecError as exc:
        raise JobspecError(f"{path}: {exc}") from exc
    document = from_wire(text)
    return {**document, "name": name} if name else document


def _is_jobspec(word: str) -> bool:
    return Path(word).suffix in (".yaml", ".yml", ".json") or Path(word).is_file()
