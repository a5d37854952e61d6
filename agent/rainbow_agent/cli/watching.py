"""`--watch`: the picture again and again, until a signal ends it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

from rainbow_agent.cli.terminal import is_terminal, screen
from rainbow_agent.runtime.stop import stop_on_signals

every_option = click.option(
    "--every",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="With --watch: the time between updates.",
)


@dataclass(frozen=True)
class Picture:
    """What one look has found."""

    text: Callable[[], str]
    gist: Any  # what of it counts as a change; that time passes does not
    value: Any  # for -o json


def watch(look: Callable[[], Picture], interval: float, output: str) -> None:
    """Look every `interval` seconds.

    On a terminal the picture is replaced. Elsewhere it is written again when it has changed, or,
    as JSON, each time: one line.

    Args:
        look: finds out what there is.
        interval: seconds between two looks.
        output: text or json.
    """
    with stop_on_signals() as stop:
        if output == "text" and is_terminal():
            with screen() as shown:
                while not stop.is_set():
                    shown.show(look().text())
                    stop.wait(interval)
            return
        before: Any = None
        while not stop.is_set():
            picture = look()
            if output == "json":
                click.echo(json.dumps(picture.value))
            elif picture.gist != before:
                click.echo(("\n" if before is not None else "") + picture.text())
                before = picture.gist
            stop.wait(interval)
