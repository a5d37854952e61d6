"""`rainbow-agent assets`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from rainbow_agent.cli.common import echo_json, output_option, reports_errors, say
from rainbow_agent.core.errors import UsageError

#: What there is: where it stands in the repository, which files, what they are for.
_KINDS: Final = {
    "systemd": (
        "systemd",
        ("rainbow-agent.*", "rainbow-agent.service.d/*", "environment.example"),
        "the unit, its drop-in for Flux, its user and folders, an example of its settings",
    ),
    "monitoring": (
        "docs/monitoring",
        ("alerts.yaml", "dashboard.json"),
        "alert rules for Prometheus, a dashboard for Grafana",
    ),
    "crd": (
        "crd",
        ("*.yaml", "rainbow/*.yaml", "small/*.yaml"),
        "manifests: rainbow, and MiniClusters whose agents join it",
    ),
}
_KEPT: Final = "there is a file of that name already, with other content; --force replaces it"


@click.command(name="assets")
@click.argument("kinds", nargs=-1, type=click.Choice(list(_KINDS)), metavar="[KIND]...")
@click.option(
    "--list", "listing", is_flag=True, help="List the files; without --copy, this is the default."
)
@click.option(
    "--copy",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Copy them into this folder, which is created; default: list them.",
)
@click.option("--force", is_flag=True, help="Replace files that are there with other content.")
@output_option
@reports_errors
def command(
    *, kinds: tuple[str, ...], listing: bool, folder: Path | None, force: bool, output: str
) -> None:
    """Show or copy the files that come with the agent: unit, alert rules, dashboard, manifests.

    KIND is systemd, monitoring or crd; without one it is all of them.

    Example: rainbow-agent assets systemd --copy .
    """
    if listing and folder:
        raise UsageError("--list shows the files, --copy copies them: use one of them")
    found = [each for kind in (kinds or tuple(_KINDS)) for each in _files(kind)]
    if folder is not None:
        _copy(found, folder, force=force)
    if output == "json":
        echo_json([{"name": name, "path": str(path)} for name, path in found])
    elif folder is None:
        for kind in kinds or tuple(_KINDS):
            say(f"{kind}: {_KINDS[kind][2]}")
            for name, path in _files(kind):
                say(f"  {name}  {path}")
    else:
        for name, _ in found:
            say(str(folder / name))


def _files(kind: str) -> Iterator[tuple[str, Path]]:
    """Each file's name below a folder of copies, and where it is.

    Raises:
        UsageError: they were not installed with the agent.
    """
    here = Path(__file__).parents[1]  # where the package is installed
    source, patterns, _ = _KINDS[kind]
    folder = here / "assets" / kind
    if not folder.is_dir():
        folder = here.parents[1] / source  # a checkout
    files = sorted({path for each in patterns for path in folder.glob(each) if path.is_file()})
    if not files:
        raise UsageError(f"the files of {kind} are not in {here}: install the agent from its wheel")
    for path in files:
        yield f"{kind}/{path.relative_to(folder)}", path


def _copy(files: list[tuple[str, Path]], folder: Path, *, force: bool) -> None:
    """Copy all of them, or none.

    Raises:
        UsageError: one would replace a file with other content.
    """
    for name, path in files:
        target = folder / name
        if not force and target.exists() and target.read_bytes() != path.read_bytes():
            raise UsageError(f"{target}: {_KEPT}")
    for name, path in files:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
