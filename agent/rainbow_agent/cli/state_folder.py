"""Which state folder a verb is about: said by name, and never taken for an empty cluster."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Any, NoReturn

import click

from rainbow_agent.cli.owners import belongs_to, command_typed
from rainbow_agent.core.errors import UsageError
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.storage import agent_lock, runtime_file


def expect_folder(settings: Settings) -> None:
    """See that the folder can be read, if it is there; one that was named has to be there.

    Raises:
        UsageError: it is not there, is not a folder, or belongs to somebody else; with what to do.
    """
    path, source = settings.state_dir, settings.sources.get("state_dir", "default")
    try:
        facts = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        if source == "default":
            return
        raise UsageError(
            f"there is no state folder {path} (from {source}): no daemon has run with it. Name the"
            " daemon's folder with --state-dir or RAINBOW_STATE_DIR"
        ) from None
    except OSError as exc:
        raise UsageError(
            f"cannot read state folder {path} (from {source}): {exc.strerror}. Run"
            f" `{command_typed()}` as the user that the daemon runs as"
        ) from exc
    if not stat.S_ISDIR(facts.st_mode):
        raise UsageError(
            f"{path} (from {source}) is not a folder. Name the daemon's state folder with"
            " --state-dir or RAINBOW_STATE_DIR"
        )
    if not os.access(path, os.R_OK | os.X_OK):
        _belongs_to(settings)


def expect_own(settings: Settings) -> None:
    """As `expect_folder`, for verbs that write: what they write has to be the daemon's to read.

    Raises:
        UsageError: as there, or the folder is another user's, even where root could write to it.
    """
    expect_folder(settings)
    expect_not_of_others(settings)


def expect_not_of_others(settings: Settings) -> None:
    """See that the folder is this user's or root's, if it is there.

    Raises:
        UsageError: it is another user's, even where root could write to it.
    """
    try:
        owner = settings.state_dir.stat().st_uid
    except OSError:
        return  # not there: made when it is needed
    if owner not in (os.geteuid(), 0):
        _belongs_to(settings)


def expect_daemon(settings: Settings) -> None:
    """See that a daemon runs on the state folder: so it is the one that is meant.

    Raises:
        UsageError: none runs there; it names --offline, which the verb has.
    """
    if agent_lock.running(settings.state_dir) is None:
        raise UsageError(
            f"no daemon is using {settings.state_dir}. Name the state folder of the one you mean"
            f" (--state-dir, RAINBOW_STATE_DIR), or use `{command_typed()} --offline`, which holds"
            " for the next start"
        )


def cluster_of(settings: Settings) -> str:
    """The cluster of the daemon that runs or ran last there; else the one of this shell."""
    used = runtime_file.read_runtime(settings.state_dir).get("settings")
    return (
        str(used["cluster"]) if isinstance(used, dict) and "cluster" in used else settings.cluster
    )


def offline_option(text: str) -> Callable[[Any], Any]:
    """The option `--offline` of verbs that need a daemon otherwise."""
    return click.option("--offline", is_flag=True, help=text)


def _belongs_to(settings: Settings) -> NoReturn:
    folder = settings.state_dir
    raise UsageError(belongs_to(f"state folder {folder}", folder, folder))
