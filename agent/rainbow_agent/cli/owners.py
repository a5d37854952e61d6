"""Files of another user: whose they are, and the command that works. The same answer everywhere."""

from __future__ import annotations

import os
import pwd
import shlex
from pathlib import Path
from typing import Final

import click

#: Where the words of the command line are, in click's `meta`.
TYPED: Final = "rainbow_agent.typed"


def belongs_to(what: str, path: Path, state_dir: Path | None = None) -> str:
    """A sentence: whose it is, and what to run as that user.

    Args:
        what: what is not this user's, such as `state folder /x`.
        path: where it is; who owns a file in a folder that is closed is not seen from outside, so
            the folder's owner stands for it.
        state_dir: the folder that the command needs an option for: that user's shell has another
            environment.
    """
    typed = command_typed()
    if state_dir is not None and "--state-dir" not in typed:
        typed += f" --state-dir {shlex.quote(str(state_dir))}"
    uid = _owner(path)
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name, become = f"user {uid}", f"sudo -u '#{uid}'"
    else:  # root needs no sudo, and may be without it
        become = f"sudo -u {name}" if os.geteuid() else f"runuser -u {name} --"
    return f"{what} belongs to {name}: run `{become} {typed}`"


def command_typed() -> str:
    """The verb and its arguments, as they were typed."""
    context = click.get_current_context(silent=True)
    return shlex.join(["rainbow-agent", *(context.meta.get(TYPED, ()) if context else ())])


def _owner(path: Path) -> int:
    for near in (path, *path.parents):
        try:
            return near.stat().st_uid
        except OSError:
            continue
    return 0
