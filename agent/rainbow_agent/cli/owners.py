"""Files of another user: whose they are, and the command that works. The same answer everywhere."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import click


def belongs_to(what: str, path: Path, options: str = "") -> str:
    """A sentence: whose it is, and what to run as that user.

    Args:
        what: what is not this user's, such as `state folder /x`.
        path: where it is; who owns a file in a folder that is closed is not seen from outside, so
            the folder's owner stands for it.
        options: of the command to run.
    """
    uid = _owner(path)
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name, become = f"user {uid}", f"sudo -u '#{uid}'"
    else:  # root needs no sudo, and may be without it
        become = f"sudo -u {name}" if os.geteuid() else f"runuser -u {name} --"
    return f"{what} belongs to {name}: run `{become} {command_typed()}{options}`"


def command_typed() -> str:
    """The verb as it was typed, without its arguments."""
    context = click.get_current_context(silent=True)
    return context.command_path if context else "rainbow-agent"


def _owner(path: Path) -> int:
    for near in (path, *path.parents):
        try:
            return near.stat().st_uid
        except OSError:
            continue
    return 0
