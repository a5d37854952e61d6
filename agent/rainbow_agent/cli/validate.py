"""`rainbow-agent validate`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from rainbow_agent.cli.common import echo_json, output_option, read_jobspec, reports_errors, say
from rainbow_agent.core.errors import UsageError
from rainbow_agent.runtime.logs import clean, counted

if TYPE_CHECKING:
    from rainbow_agent.jobspec.checking import Diagnostic


@click.command(name="validate")
@click.argument("jobspecs", nargs=-1, metavar="JOBSPEC...")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of jobspecs, for editors.")
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@output_option
@reports_errors
def command(jobspecs: tuple[str, ...], schema: bool, strict: bool, output: str) -> None:
    """Check jobspec files, without a cluster; `-` is standard input.

    Prints every error on a line: FILE:LINE:COLUMN: what is wrong, and what to write. Exits with
    status 0 if all files are valid, 1 if one is not, 2 if one cannot be read. What a cluster has
    does not matter here: `rainbow-agent satisfy` checks that.

    Example: rainbow-agent validate jobspecs/*.yaml
    """
    if schema:
        click.echo(_schema(), nl=False)
        return
    if not jobspecs:
        raise UsageError("no files to check: name some, or `-` for standard input")
    found: dict[str, list[Diagnostic]] = {}
    unread = []
    for name in jobspecs:
        try:
            found[name] = _check(name)
        except UsageError as exc:
            unread.append(str(exc))
    errors = sum(not finding.warning for each in found.values() for finding in each)
    warnings = sum(map(len, found.values())) - errors
    if output == "json":
        echo_json({name: [asdict(each) for each in findings] for name, findings in found.items()})
    else:
        for name, findings in found.items():
            for each in findings:
                kind = "warning: " if each.warning else ""
                say(f"{name}:{each.line}:{each.column}: {kind}{each.message}")
    for problem in unread:
        click.echo(clean(f"error: {problem}"), err=True)
    summary = f"{counted(errors, 'error')} and {counted(warnings, 'warning')}"
    say(f"{counted(len(found), 'file')} checked: {summary}", err=True)
    raise SystemExit(2 if unread else int(bool(errors or (strict and warnings))))


def _schema() -> str:
    from importlib import resources  # noqa: PLC0415 - only here

    files = resources.files("rainbow_agent.jobspec")
    return (files / "jobspec-v1.schema.json").read_text(encoding="utf-8")


def _check(name: str) -> list[Diagnostic]:
    from rainbow_agent.jobspec.checking import check  # noqa: PLC0415 - yaml: heavy

    return check(read_jobspec(name))
