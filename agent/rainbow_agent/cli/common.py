"""What verbs share: settings from flags and environment, errors to exit codes, output."""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeVar

import click

from rainbow_agent.cli.owners import belongs_to
from rainbow_agent.core.errors import RainbowAgentError, UsageError
from rainbow_agent.runtime.logs import clean
from rainbow_agent.runtime.service import load_beside
from rainbow_agent.runtime.settings import Settings, default_of, env_name, load

if TYPE_CHECKING:
    from rainbow_agent.core.model import Plan

#: The exit code when a --timeout ran out, as of timeout(1).
TIMED_OUT: Final = 124
#: Seconds between looks of a verb that waits for something.
POLL_INTERVAL_S: Final = 0.2
#: Characters of a --reason that are kept.
MAX_REASON_LENGTH: Final = 200

F = TypeVar("F", bound=Callable[..., Any])

#: Settings that are options of verbs, too: what stands for the value, what it is, and its default
#: where that depends on the machine.
_FLAGS: Final = {
    "host": ("HOST:PORT", "The rainbow scheduler.", ""),
    "cluster": ("NAME", "The cluster's name.", "the hostname without its number"),
    "state_dir": (
        "DIR",
        "The state folder: ledger, credentials, lock.",
        "/var/lib/rainbow-agent for root, else ~/.local/state/rainbow-agent",
    ),
    "config": (
        "FILE",
        "The file of secrets and tokens.",
        "rainbow-config.yaml in the state folder",
    ),
    "sent_dir": (
        "DIR",
        "What you keep of the jobs that you sent.",
        "~/.local/state/rainbow-agent",
    ),
    "inbox": ("FILE", "The inbox's file; auto makes one, off uses none.", "inbox.yaml there"),
    "workload": ("KIND", "Where tasks run: auto, flux or local.", ""),
    "subsystems_dir": ("DIR", "The user's own subsystems.", "~/.compspec/subsystems"),
}


def settings_options(*names: str, beside_unit: bool = True) -> Callable[[F], F]:
    """Options for these settings; the command gets a `settings` argument instead of them.

    Args:
        names: of the settings.
        beside_unit: whether the verb may be about the daemon of the systemd unit on this machine
            (runtime/service.py); what begins something of its own is not.
    """

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, flags: dict[str, str | None], **kwargs: Any) -> Any:
            settings = load_settings(flags, beside_unit=beside_unit)
            return function(*args, settings=settings, **kwargs)

        return flag_options(*names)(wrapper)  # type: ignore[return-value] # wraps keeps the shape

    return decorate


def flag_options(*names: str) -> Callable[[F], F]:
    """Options for these settings; the command gets them as `flags`, by name, and loads itself."""

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            flags = {name: kwargs.pop(name) for name in names}
            return function(*args, flags=flags, **kwargs)

        for name in reversed(names):
            metavar, text, default = _FLAGS[name]
            known = f"[env: {env_name(name)}; default: {default or default_of(name)}]"
            wrapper = click.option(
                "--" + name.replace("_", "-"), name, metavar=metavar, help=f"{text}  {known}"
            )(wrapper)
        return wrapper  # type: ignore[return-value] # functools.wraps keeps the shape

    return decorate


def load_settings(flags: dict[str, str | None], *, beside_unit: bool = True) -> Settings:
    """Settings of this process; warnings go to standard error."""
    try:
        reads = load_beside if beside_unit else load
        settings = reads(os.environ, flags, from_config=from_config)
    except RainbowAgentError as exc:
        fail(exc)
    for warning in settings.warnings:
        say(f"warning: {warning}", err=True)
    return settings


def from_config(path: Path) -> Mapping[str, str]:
    """What settings take out of a rainbow-config.yaml, as settings.load wants it."""
    if is_missing(path) or not os.access(path.parent, os.X_OK):
        return {}  # of a closed state folder each verb says whose it is
    from rainbow_agent.fleet import rainbow_config  # noqa: PLC0415 - yaml only when needed

    if not os.access(path, os.R_OK):
        raise UsageError(belongs_to(str(path), path))
    return rainbow_config.settings_in(path)


def is_missing(path: Path) -> bool:
    """Whether there is no such file; one that cannot be looked at is not missing."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # opening it says what is wrong with it
    return False


def warn_of(name: str, plan: Plan) -> None:
    """What may surprise in a jobspec that is about to run, on standard error."""
    for warning in plan.warnings:
        say(f"warning: {name}: {warning}", err=True)


def read_jobspec(name: str) -> str:
    """The text of a jobspec file; `-` is standard input.

    Raises:
        UsageError: it cannot be read.
    """
    try:
        if name == "-":
            return sys.stdin.buffer.read().decode()
        return Path(name).read_text(encoding="utf-8")
    except OSError as exc:
        raise UsageError(f"cannot read jobspec {name}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise UsageError(f"cannot read jobspec {name}: it is not UTF-8 text: {exc}") from exc


def fail(exc: RainbowAgentError) -> NoReturn:
    """Say what is wrong and end with the error's exit code."""
    say(f"error: {exc}", err=True)
    sys.exit(exc.exit_code)


def reports_errors(function: F) -> F:
    """Map our own errors to a sentence and an exit code; anything else is a bug and shows."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except RainbowAgentError as exc:
            fail(exc)

    return wrapper  # type: ignore[return-value] # functools.wraps keeps the shape


def say(line: str, *, err: bool = False) -> None:
    """Print a line for people; whatever names are in it, it stays one line and steers nothing."""
    click.echo(clean(line), err=err)


output_option = click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Output for people or for programs.",
)


def echo_json(value: Any) -> None:
    """One JSON value, indented; ASCII only, so that any terminal and pipe takes it."""
    click.echo(json.dumps(value, indent=2))
