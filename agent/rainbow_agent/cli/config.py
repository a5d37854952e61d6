"""`rainbow-agent config`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

import click

from rainbow_agent.cli.common import (
    echo_json,
    flag_options,
    from_config,
    output_option,
    reports_errors,
    say,
)
from rainbow_agent.cli.terminal import fitted
from rainbow_agent.core.errors import UsageError
from rainbow_agent.runtime import setting_types
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
@flag_options("host", "cluster", "state_dir", "config", "workload")
@output_option
@reports_errors
def show(flags: dict[str, str | None], output: str) -> None:
    """Show every setting with its value and its source; secrets are masked.

    A value that cannot be used is an error, and the others are shown all the same. A name that is
    not a setting causes a warning, with the nearest one that is. A daemon has the
    settings of its own environment, which may differ from this shell's.

    Example: rainbow-agent config show -o json
    """
    from rainbow_agent.cli.doctor.faults import Level  # noqa: PLC0415 - with it
    from rainbow_agent.cli.doctor.local import read_settings  # noqa: PLC0415 - sqlite: heavy

    settings, findings = read_settings(os.environ, flags, from_config)
    for each in findings:
        kind = "error" if each.level is Level.WRONG else "warning"
        say(f"{kind}: {each.text}", err=True)
    unusable = any(each.level is Level.WRONG for each in findings)
    if settings is None:
        sys.exit(UsageError.exit_code)
    _show(config_view(settings), output)
    if unusable:
        sys.exit(UsageError.exit_code)


def _show(view: Mapping[str, Any], output: str) -> None:
    if output == "json":
        echo_json(view)
        return
    rows = [[each["name"], each["value"] or "-", _from(each)] for each in view["settings"]]
    click.echo(fitted(["SETTING", "VALUE", "FROM"], rows, yielding=("FROM", "VALUE")))


def _from(setting: Mapping[str, Any]) -> str:
    """The source in short: a variable has the name of its setting."""
    return str(setting["source"]).replace(f"environment {setting['name']}", "environment")


def config_view(settings: Settings) -> dict[str, Any]:
    """The object: `settings` (name, value, source, secret), and `unknown` names in sentences."""
    found = []
    for spec in setting_fields():
        value = getattr(settings, spec.name)
        secret = isinstance(value, Secret)
        found.append(
            {
                "name": env_name(spec.name),
                "value": as_written(value, spec.metadata["parse"]),
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


def as_written(value: Any, parse: Callable[[str], Any]) -> str | None:
    """A value as it would be written in the environment."""
    if parse in (setting_types.age, setting_types.age_or_all):
        return setting_types.age_text(value)
    if parse is setting_types.size_or_off:
        return setting_types.size_text(value)
    if value is None and parse in (setting_types.count_or_all, setting_types.listen):
        return "off" if parse is setting_types.listen else "all"
    if isinstance(value, Secret):
        return MASK if value else None
    text = "" if value is None else str(value)
    if isinstance(value, float):
        text = f"{value:g}"
    return text or None
