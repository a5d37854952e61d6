"""`rainbow-agent doctor`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rainbow_agent.cli.common import (
    echo_json,
    flag_options,
    from_config,
    output_option,
    reports_errors,
    say,
)
from rainbow_agent.cli.config import config_view
from rainbow_agent.cli.terminal import text_columns, wants_colour
from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.monitoring.status_sources import look
from rainbow_agent.monitoring.views import wrapped
from rainbow_agent.runtime.clock import SystemClock
from rainbow_agent.runtime.logs import clean, counted
from rainbow_agent.runtime.settings import Settings

if TYPE_CHECKING:
    from rainbow_agent.cli.doctor.faults import Finding

_LEVEL_COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red", "skip": "cyan"}
#: Where the text of a line begins.
FINDING_INDENT = 23


@click.command(name="doctor")
@click.option("--run-job", is_flag=True, help="Also submit a job that runs `true` on one core.")
@click.option(
    "--bundle",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write what a maintainer needs into a tar file, without secrets; default: no file.",
)
@flag_options("host", "cluster", "state_dir", "config", "workload")
@output_option
@reports_errors
def command(
    *, run_job: bool, bundle: Path | None, flags: Mapping[str, str | None], output: str
) -> None:
    """Check the whole chain, from the settings to a running job, and say what to do.

    Each check is ok, a warning, or wrong, with the cause and the remedy (docs/troubleshooting.md).
    Nothing is changed, here or in rainbow. Exits with status 0 if all is well, 1 if there are
    warnings, 2 if something is wrong.

    Example: rainbow-agent doctor --run-job
    """
    from rainbow_agent.cli.doctor.examine import examine  # noqa: PLC0415 - grpc: heavy

    lines = examine(os.environ, flags, from_config, _status, run_job=run_job)
    if output == "json":
        findings = list(lines)
        echo_json(_view(findings))
    else:
        findings = list(_shown(lines))
    if bundle is not None:
        _bundle(bundle, findings, flags)
    sys.exit(max(finding.level.value for finding in findings))


def _status(settings: Settings) -> Mapping[str, Any]:
    return look(settings, SystemClock().now())


def _shown(lines: Iterator[Finding]) -> Iterator[Finding]:
    """Each line as soon as it is known."""
    colour, width = wants_colour(), text_columns()
    for finding in lines:
        word = finding.level.name.lower()
        head = f"{word:<8}{finding.check}"
        first, *rest = wrapped(head, finding.text, width, FINDING_INDENT)
        if colour:
            first = click.style(word, fg=_LEVEL_COLOURS[word], bold=True) + first[len(word) :]
        click.echo("\n".join([first, *rest]), color=colour)
        if finding.cure:
            click.echo("\n".join(wrapped("        to do:", finding.cure, width, FINDING_INDENT)))
        yield finding


def _view(findings: list[Finding]) -> list[dict[str, Any]]:
    return [
        {
            "check": finding.check,
            "level": finding.level.name.lower(),
            "text": clean(finding.text),
            "fault": finding.fault or None,
            "cure": finding.cure or None,
        }
        for finding in findings
    ]


def _bundle(path: Path, findings: list[Finding], flags: Mapping[str, str | None]) -> None:
    from rainbow_agent.cli.doctor import bundle, local  # noqa: PLC0415 - yaml: heavy
    from rainbow_agent.fleet import rainbow_config  # noqa: PLC0415 - yaml: heavy
    from rainbow_agent.storage import runtime_file  # noqa: PLC0415 - yaml: heavy

    settings, _ = local.read_settings(os.environ, flags, from_config)
    parts: dict[str, Any] = {"versions": bundle.versions(), "doctor": _view(findings)}
    secrets: set[str] = set()
    logs: list[Path] = []
    if settings is not None:
        parts["settings"] = config_view(settings)
        parts["status"] = _status(settings)
        parts["runtime"] = runtime_file.read_runtime(settings.state_dir)
        parts["jobs"] = _jobs(settings)
        secrets |= settings.secret_values
        try:
            config = rainbow_config.load(settings.config)
        except RainbowAgentError:
            config = None
        if config is not None:
            secrets |= {config.scheduler_secret, config.cluster_secret}
            secrets |= {cluster.token for cluster in config.clusters}
        with suppress(OSError):  # another user's folder, which `state` is about
            logs = sorted(settings.state_dir.glob("*.log"))
            logs += sorted((settings.state_dir / "workload").glob("*.log"))
    try:
        names = bundle.write(path, parts, logs, secrets)
    except OSError as exc:
        raise RainbowAgentError(f"cannot write {path}: {exc.strerror}") from exc
    say(f"{path}: {counted(len(names), 'part')}: {', '.join(names)}", err=True)


def _jobs(settings: Settings) -> Any:
    """The last jobs, without their jobspecs: what users run is theirs."""
    from rainbow_agent.cli.ledger import reading  # noqa: PLC0415 - only here
    from rainbow_agent.monitoring.views import job_view  # noqa: PLC0415 - likewise

    try:
        with reading(settings) as ledger:
            rows = ledger.jobs(limit=100, newest_first=True) if ledger else []
            return [job_view(row) for row in rows]
    except RainbowAgentError as exc:
        return {"unreadable": str(exc)}
