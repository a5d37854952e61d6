"""The request for another log level, as a file in the state folder, and the signal to look at it.

It holds for the daemon that runs: the next start takes the setting again.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Final

from rainbow_agent.runtime.files import replacing

#: What can be requested.
LEVELS: Final = ("debug", "info", "warning", "error")
_FILE_NAME: Final = "log-level"


def read(folder: Path) -> str | None:
    """The requested level; None where there is none, or no such level."""
    try:
        level = (folder / _FILE_NAME).read_text(encoding="utf-8").strip().lower()
    except (OSError, UnicodeDecodeError):
        return None
    return level if level in LEVELS else None


def write(folder: Path, level: str) -> None:
    """Request a level.

    Raises:
        OSError: the folder cannot be written.
    """
    with replacing(folder / _FILE_NAME) as file:
        file.write(f"{level}\n")


def clear(folder: Path) -> None:
    """Withdraw the request; without one, nothing happens."""
    (folder / _FILE_NAME).unlink(missing_ok=True)


def tell(pid: int) -> None:
    """Have the daemon look.

    Raises:
        OSError: it is gone, or somebody else's.
    """
    os.kill(pid, signal.SIGHUP)
