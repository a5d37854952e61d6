"""`rainbow-agent config`."""

from __future__ import annotations

from typing import Any

import click

from rainbow_agent.cli.common import echo_json, output_option, reports_errors, settings_options
from rainbow_agent.monitoring.views import table
from rainbow_agent.runtime.setting_types import Secret
from rainbow_agent.runtime.settings import Settings, env_name, setting_fields

#: What stands in the place of a secret.
MASK = "********"


@click.group(name="config", invoke_without_command=False)
def command() -> None:
    """Show the settings in this shell: each value, and where it comes from.

    Example: rainbow-agent config show
    """


@command.command(name="show")
@settings_options("host", "cluster", "state_dir", "config", "workload")
@output_option
@reports_errors
def show(settings: Settings, output: str) -> None:
    """Show every setting with its value and its source; secrets are masked.

    A name that is not a setting causes a warning, with the nearest one that is. A daemon has the
    settings of its own environment, which may differ from this shell's.

    Example: rainbow-agent config show -o json
    """
    view = config_view(settings)
    if output == "json":
        echo_json(view)
        return
    rows = [[each["name"], each["value"] or "-", each["source"]] for each in view["settings"]]
    click.echo(table(["SETTING", "VALUE", "FROM"], rows))


def config_view(settings: Settings) -> dict[str, Any]:
    """The object: `settings` (name, value, source, secret), and `unknown` names in sentences."""
    found = []
    for spec in setting_fields():
        value = getattr(settings, spec.name)
        secret = isinstance(value, Secret)
        found.append(
            {
                "name": env_name(spec.name),
                "value": _text(value),
                "source": settings.sources.get(spec.name, "default"),
                "secret": secret,
            }
        )
    for key, value in sorted(settings.operator_state.items()):
        name = f"RAINBOW_STATE_{key}"
        found.append(
            {"name": name, "value": str(value), "source": f"environment {name}", "secret": False}
        )
    return {"settings": found, "unknown": list(settings.warnings)}


def _text(value: Any) -> str | None:
    if isinstance(value, Secret):
        return MASK if value else None
    text = "" if value is None else str(value)
    if isinstance(value, float):
        text = f"{value:g}"
    return text or None
