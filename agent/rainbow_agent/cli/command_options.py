"""Options of `submit` for a plain command: ours beside Flux's own, as of `flux submit`."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from rainbow_agent.cli.common import F
from rainbow_agent.core.errors import UsageError

#: What jobspec files end in, which is no part of a job's name.
_ENDS: Final = (".yaml", ".yml", ".json")
_COUNT: Final = click.IntRange(min=1)
_OPTIONS: Final = (
    click.option("-N", "--nodes", type=_COUNT, help="Nodes for COMMAND; default: 1."),
    click.option(
        "-n",
        "--tasks",
        "--ntasks",
        type=_COUNT,
        help="How many times COMMAND runs, spread evenly over the nodes; default: once on each.",
    ),
    click.option(
        "-c", "--cores", type=_COUNT, help="Cores for each time that COMMAND runs; default: 1."
    ),
    click.option(
        "-g", "--gpus", type=_COUNT, help="GPUs for each time that COMMAND runs; default: none."
    ),
    click.option(
        "-t",
        "--time-limit",
        metavar="MINUTES|TIME",
        help="How long COMMAND may run: 10 (minutes), 90s, 2h, 1d; default: no limit.",
    ),
    click.option(
        "--env",
        "environment",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="A variable for COMMAND, with this shell's value if none is given; may be repeated;"
        " default: the agent's own variables.",
    ),
    click.option("--cwd", metavar="DIR", help="The folder that COMMAND runs in; default: Flux's."),
    click.option(
        "--results",
        multiple=True,
        metavar="PATTERN",
        help="Files below --cwd that `fetch` gets, such as 'out/*.csv'; may be repeated; default:"
        " none.",
    ),
    click.option("-q", "--queue", help="The queue of Flux; default: the cluster's."),
)


def command_options(function: F) -> F:
    """The options; the verb gets those that were given as `asked`, by name."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        counts = ("nodes", "tasks", "cores", "gpus", "time_limit")
        names = (*counts, "environment", "cwd", "queue", "results")
        asked = {name: kwargs.pop(name) for name in names}
        asked = {name: value for name, value in asked.items() if value}
        return function(*args, asked=asked, **kwargs)

    for option in reversed(_OPTIONS):
        wrapper = option(wrapper)
    return wrapper  # type: ignore[return-value] # functools.wraps keeps the shape


def command_jobspec(
    words: Sequence[str], *, name: str | None, asked: dict[str, Any]
) -> dict[str, Any]:
    """The jobspec of a command with these options.

    Raises:
        UsageError: an option's value cannot be used.
    """
    from rainbow_agent.jobspec.simple import simple_jobspec  # noqa: PLC0415 - yaml

    counts = {key: asked.get(key) for key in ("nodes", "tasks", "cores", "gpus")}
    document = simple_jobspec(words, name=name, **counts)
    attributes: dict[str, Any] = {key: asked[key] for key in ("cwd", "queue") if key in asked}
    if "time_limit" in asked:
        attributes["duration"] = _duration(asked["time_limit"])
    if "results" in asked:
        if not asked.get("cwd", "").startswith("/"):
            raise UsageError("--results are found below --cwd DIR: name it, from the root on")
        attributes["results"] = list(asked["results"])
    if "environment" in asked:
        attributes["environment"] = dict(_variable(text) for text in asked["environment"])
    return {**document, "attributes": attributes} if attributes else document


def _duration(text: str) -> str:
    """A time as jobspecs have it: there a bare number is seconds, for `flux submit -t` minutes."""
    from rainbow_agent.jobspec.attributes import EXAMPLES, parse_duration  # noqa: PLC0415 - yaml

    limit = f"{text}m" if text.replace(".", "", 1).isdecimal() else text
    if parse_duration(limit) is None:
        known = EXAMPLES.partition(": ")[0].removeprefix("write seconds, or ")
        raise UsageError(f"--time-limit {text[:40]}: write minutes, or {known}")
    return limit


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise UsageError(f"--env {text[:40]}: write NAME=VALUE, or NAME for this shell's value")
    if not equals and name not in os.environ:
        raise UsageError(f"--env {name[:40]}: this shell has no such variable; write {name}=VALUE")
    return name, value if equals else os.environ[name]


def default_name(file: str) -> str:
    """What a job is called whose jobspec has no name: as its file; "" for standard input."""
    from rainbow_agent.jobspec.reading import MAX_NAME  # noqa: PLC0415 - yaml

    path = Path(file)
    stem = "" if file == "-" else path.stem if path.suffix in _ENDS else path.name
    return "".join(c if c.isprintable() else "_" for c in stem)[:MAX_NAME]
