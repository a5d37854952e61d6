"""`rainbow-compspec extract`: describe this node."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import click

from rainbow_compspec import explain as explaining
from rainbow_compspec import node, overrides, probes
from rainbow_compspec.describe import describe, host_at
from rainbow_compspec.errors import CompspecError


@click.command()
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), help="Write here, not to stdout."
)
@click.option("--only", metavar="P,..", default="", help="Ask only these probes.")
@click.option("--skip", metavar="P,..", default="", help="Do not ask these probes.")
@click.option(
    "--set-file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML or JSON with values in place of what is found: {cpu: {model: X}}. "
    f"{overrides.PREFIX}<probe>__<key> in the environment wins over it.",
)
@click.option(
    "--root",
    type=click.Path(exists=True, path_type=Path),
    default=Path("/"),
    help="Where the machine's file system is mounted, or a recorded tree.",
)
@click.option(
    "--explain",
    is_flag=True,
    help="Say of each value where it was read, what else was there, and why this one won.",
)
def extract(
    *,
    out: Path | None,
    only: str,
    skip: str,
    set_file: Path | None,
    root: Path,
    explain: bool,
) -> None:
    """Describe this node as node JSON, with no network, no privileges and no Flux.

    A probe that fails says why in the JSON and does not stop the others.
    """
    given = overrides.merged(
        overrides.from_file(set_file) if set_file else {}, overrides.from_environ(os.environ)
    )
    if explain:
        readings = probes.run(host_at(root), _names(only), _names(skip), given)
        text = explaining.explain(readings)
    else:
        found = describe(host_at(root), only=_names(only), skip=_names(skip), values=given)
        text = node.dumps(found)
    if out is None:
        click.echo(text, nl=False)
    else:
        write(out, text)


def write(out: Path, text: str) -> None:
    """Writes a file in one step, so that no one reads half a node.

    Raises:
        CompspecError: the place cannot be written to.
    """
    temporary = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(out)
    except OSError as exc:
        with suppress(OSError):
            temporary.unlink()
        raise CompspecError(f"{out}: cannot be written: {exc.strerror}") from exc


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
