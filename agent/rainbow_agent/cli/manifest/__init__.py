"""`rainbow-agent manifest`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from rainbow_agent.cli.common import reports_errors
from rainbow_agent.core.errors import UsageError
from rainbow_agent.runtime import setting_types, settings

#: A quantity of Kubernetes: 4, 500m, 8Gi.
_QUANTITY: Final = re.compile(r"\d+(\.\d+)?([munkMGTPE]|[KMGTPE]i)?")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: What goes together with other lines of the manifest.
FIXED: Final = {
    "RAINBOW_CLUSTER": "--name gives it",
    "RAINBOW_HOST": "--rainbow gives it",
    "RAINBOW_STATE_DIR": "it is where the volume is",
    "RAINBOW_HTTP": "Kubernetes and Prometheus look there",
    "RAINBOW_SECRET_FILE": "it is where the Secret is",
    "RAINBOW_TOKEN_FILE": "it is where the Secret is",
    "RAINBOW_SECRET": "everybody can read a manifest; it comes from the Secret `rainbow`",
    "RAINBOW_TOKEN": "everybody can read a manifest; it comes from the Secret `rainbow`",
}
_REQUESTS: Final = {"cpu": "1", "memory": "1Gi"}
_LIMITS: Final = {"cpu": "4", "memory": "8Gi"}


def _pairs(what: str, texts: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE, each.

    Raises:
        click.BadParameter: one is not.
    """
    made = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{text!r} is not NAME=VALUE", param_hint=what)
        made[name] = value
    return made


def _quantities(what: str, texts: Sequence[str], default: Mapping[str, str]) -> dict[str, str]:
    given = _pairs(what, texts)
    for name, quantity in given.items():
        if not _QUANTITY.fullmatch(quantity):
            raise click.BadParameter(
                f"{name}={quantity} is not a quantity of Kubernetes, such as 4, 500m or 8Gi",
                param_hint=what,
            )
    return {**default, **given}


def _label(_context: Any, _parameter: Any, value: str) -> str:
    try:
        return setting_types.cluster(value)
    except ValueError as exc:
        raise click.BadParameter(f"{value!r} {exc}") from exc


def _host(_context: Any, _parameter: Any, value: str) -> str:
    if not value:
        return ""
    try:
        return setting_types.host(value)
    except ValueError as exc:
        raise click.BadParameter(f"{value!r} {exc}") from exc


def _variables(texts: Sequence[str]) -> dict[str, str]:
    given = _pairs("--env", texts)
    for name in given:
        if not _VARIABLE.fullmatch(name):
            raise click.BadParameter(f"{name!r} is not a name of a variable", param_hint="--env")
        if name in FIXED:
            raise click.BadParameter(f"{name} cannot be set: {FIXED[name]}", param_hint="--env")
    return given


def _check(environ: Mapping[str, str]) -> None:
    """See that the agent understands its settings, as it will in the pod.

    Raises:
        UsageError: a name is none of its settings, or a value cannot be used.
    """
    # The files that _FILE names are in the pod.
    here = {name: value for name, value in environ.items() if not name.endswith("_FILE")}
    if wrong := settings.unknown_names(environ):
        raise UsageError("; ".join(wrong))
    settings.load(here)


@click.command(name="manifest")
@click.option("--name", required=True, callback=_label, help="The MiniCluster and the cluster.")
@click.option("--size", type=click.IntRange(1), default=1, show_default=True, help="Its nodes.")
@click.option("--image", default="rainbow-minicluster:latest", show_default=True)
@click.option("--namespace", default="default", show_default=True, callback=_label)
@click.option(
    "--rainbow",
    metavar="HOST:PORT",
    default="",
    callback=_host,
    help="The scheduler; default: the Service of crd/rainbow in the same namespace.",
)
@click.option(
    "--request",
    "requests",
    metavar="NAME=QUANTITY",
    multiple=True,
    help="What each pod asks for; default: cpu=1, memory=1Gi.",
)
@click.option(
    "--limit",
    "limits",
    metavar="NAME=QUANTITY",
    multiple=True,
    help="What each pod may use; default: cpu=4, memory=8Gi.",
)
@click.option(
    "--gpus", type=click.IntRange(0), default=0, help="NVIDIA GPUs in each pod; default: none."
)
@click.option(
    "--interactive", is_flag=True, help="A shell to connect to, with the agent beside it."
)
@click.option(
    "--deregister", is_flag=True, help="One node that deregisters the cluster, and exits."
)
@click.option("--own-flux", is_flag=True, help="Flux is in the image; the operator adds none.")
@click.option(
    "--env",
    "environ",
    metavar="NAME=VALUE",
    multiple=True,
    help="A setting of the agent (RAINBOW_...), or any other variable; default: no others.",
)
@click.option(
    "--storage-class", default="", help="One with ReadWriteMany; default: folders of the nodes."
)
@click.option(
    "--host-path",
    default="/var/local/rainbow",
    show_default=True,
    help="The nodes' folder for volumes without a storage class.",
)
@reports_errors
def command(
    *, requests: Sequence[str], limits: Sequence[str], environ: Sequence[str], **given: Any
) -> None:
    """Write the manifest of a MiniCluster whose agent joins rainbow by itself.

    Needs no cluster: pipe it into `kubectl apply -f -`. The volumes and their claims are in it; the
    Secret `rainbow` is not. Settings are checked as the agent will check them.

    Example: rainbow-agent manifest --name blue --size 4 --env RAINBOW_POLL_MAX=2
    """
    from rainbow_agent.cli.manifest.minicluster import (  # noqa: PLC0415 - yaml: heavy
        MiniCluster,
        manifest,
    )

    if given["deregister"] and (given["interactive"] or given["size"] > 1):
        raise click.UsageError("--deregister is for one node, and not --interactive")
    made = MiniCluster(
        requests=_quantities("--request", requests, _REQUESTS),
        limits=_quantities("--limit", limits, _LIMITS),
        environ=_variables(environ),
        **given,
    )
    _check(made.settings())
    click.echo(manifest(made), nl=False)
