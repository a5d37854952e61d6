"""What settings are by default where that depends on the machine and the user."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from rainbow_agent.core.errors import UsageError

#: An index at the end of a host's name, as StatefulSets and MiniClusters count them.
_ORDINAL = re.compile(r"-\d{1,5}$")
#: An IPv4 address at the end of a host's name, as EC2 and many DHCP servers write it.
_ADDRESSED = re.compile(r"(^|-)\d{1,3}(-\d{1,3}){3}$")


def default_cluster(hostname: str) -> str:
    """The name of a cluster after one of its hosts: `blue-0` is of `blue`.

    The number at the end stays where it is part of an address (`ip-10-0-1-23`) or of a date
    (`instance-20260628-063012`): the next host with such a name is not in the same cluster.
    """
    return hostname if _ADDRESSED.search(hostname) else _ORDINAL.sub("", hostname)


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """The unit's StateDirectory, else /var/lib for root, else the user's state folder.

    Raises:
        UsageError: this user has no home.
    """
    if environ.get("STATE_DIRECTORY"):
        return Path(environ["STATE_DIRECTORY"].split(":")[0])
    if os.geteuid() == 0:
        return Path("/var/lib/rainbow-agent")
    base = environ.get("XDG_STATE_HOME") or "~/.local/state"
    try:
        return Path(base).expanduser() / "rainbow-agent"
    except RuntimeError as exc:
        raise UsageError(
            f"there is no home folder for the state: HOME is not set, and user id {os.geteuid()} is"
            " in no list of users; set RAINBOW_STATE_DIR"
        ) from exc


def default_sent_dir(environ: Mapping[str, str], otherwise: Path) -> Path:
    """The user's own state folder, for what they send; `otherwise` where they have no home."""
    try:
        base = Path(environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser()
    except RuntimeError:
        return otherwise
    return base / "rainbow-agent"


def default_subsystems_dir(otherwise: Path) -> Path:
    """Where compspec keeps the user's own subsystems; in `otherwise` where they have no home."""
    try:
        home = Path("~").expanduser()
    except RuntimeError:  # a pod's user may be in no list of users
        home = otherwise
    return home / ".compspec" / "subsystems"
