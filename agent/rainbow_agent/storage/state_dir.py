"""The state folder: private, for one user.

Layout: `agent.lock` (agent_lock.py), `runtime.json` (runtime_file.py), `drain.json` and
`drain-stop.json` (drain_file.py), `log-level` (log_level.py), `holder.json` (whether this folder
holds the cluster, fleet/ownership_file.py), `agent.log` and `agent-older.log` (its last lines,
runtime/recent_log.py), `ledger.sqlite`, `rainbow-config.yaml`, `workload/`.
"""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

from rainbow_agent.core.errors import UsageError

log = logging.getLogger(__name__)

#: What only the agent's user may read, wherever it came from.
_PRIVATE = ("*.sqlite*", "*.yaml", "runtime.json", "drain*.json", "holder.json", "agent.lock")


def prepare(path: Path) -> None:
    """Make the folder if needed, mode 0700, and see that it is ours alone.

    What others may only read is closed to them, with a warning; what others may write, or own, is
    refused: it may hold anything by now.

    Raises:
        UsageError: it cannot be made or written, or others can write to it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = path.stat()
    except FileExistsError as exc:
        raise UsageError(f"state folder {path} is not a folder; set RAINBOW_STATE_DIR") from exc
    except OSError as exc:
        raise UsageError(f"state folder {path}: {exc.strerror}; set RAINBOW_STATE_DIR") from exc
    if not stat.S_ISDIR(facts.st_mode):
        raise UsageError(f"state folder {path} is not a folder; set RAINBOW_STATE_DIR")
    _expect_ours(path, facts)
    if not os.access(path, os.W_OK | os.X_OK):
        if os.statvfs(path).f_flag & os.ST_RDONLY:
            raise UsageError(
                f"state folder {path} is on a file system that is mounted read-only: mount it"
                " writable (an error of the disk may have made it so: see dmesg), or set"
                " RAINBOW_STATE_DIR"
            )
        raise UsageError(f"state folder {path} is not writable by this user")
    _close(path, facts)
    for name in _PRIVATE:
        for file in path.glob(name):
            _check_file(file)
    _look_at_parent(path.resolve().parent)


def _expect_ours(path: Path, facts: os.stat_result) -> None:
    """See that no other user owns it or can write to it.

    Raises:
        UsageError: another user does, or can.
    """
    if facts.st_uid not in (os.geteuid(), 0):
        raise UsageError(
            f"state folder: {path} belongs to another user (id {facts.st_uid}), who could change"
            " what is in it: run this as that user, give the folder to the user who runs this"
            " (chown), or set RAINBOW_STATE_DIR"
        )
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            f"state folder: {path} can be written by others (mode"
            f" {stat.S_IMODE(facts.st_mode):04o}); it holds credentials: chmod go-rwx {path}, or"
            f" set RAINBOW_STATE_DIR to a folder below it, which is then made"
        )


def _check_file(path: Path) -> None:
    try:
        facts = path.stat()
    except OSError:
        return  # gone, or a link to nowhere: opening it says so
    _expect_ours(path, facts)
    _close(path, facts)


def close_file(path: Path) -> None:
    """Take from others what they could read in a file of ours that holds a secret, if it is there.

    Where that cannot be done (it is mounted read-only, say) there is a warning.
    """
    try:
        _close(path, path.stat())
    except OSError:
        return


def _close(path: Path, facts: os.stat_result) -> None:
    """Take from others what they could read."""
    if not facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return
    try:
        path.chmod(stat.S_IMODE(facts.st_mode) & stat.S_IRWXU)
    except OSError as exc:
        log.warning("%s can be read by others, and cannot be closed: %s", path, exc.strerror)
    else:
        log.warning(
            "%s could be read by others (mode %04o); it is closed to them now",
            path,
            stat.S_IMODE(facts.st_mode),
            extra={"action": "closed", "path": str(path)},
        )


def _look_at_parent(parent: Path) -> None:
    """Who can write to the folder above can put another one in the place of ours."""
    mode = parent.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
        log.warning(
            "%s can be written by others (mode %04o): they could replace the state folder in it",
            parent,
            stat.S_IMODE(mode),
            extra={"action": "parent_open", "path": str(parent)},
        )
