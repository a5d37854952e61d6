"""Whether this state folder holds the cluster: `holder.json` in it (ownership.OwnershipStore).

The file says which file it is (its device and inode), so that a copy of the folder is known as
one: a copy never held anything.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
from pathlib import Path
from typing import Final

from rainbow_agent.core.errors import UsageError
from rainbow_agent.fleet.ownership_messages import AgentIdentity, OwnershipRecord
from rainbow_agent.runtime.files import replacing

_OWNERSHIP_FILE: Final = "holder.json"


def identify(folder: Path, since: float) -> AgentIdentity:
    """Who this process is; `since` in epoch seconds."""
    return AgentIdentity(
        secrets.token_hex(8), socket.gethostname(), os.getpid(), since, str(folder)
    )


class OwnershipFile:
    """holder.json in one state folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _OWNERSHIP_FILE

    def load(self) -> OwnershipRecord | None:
        """What was saved here; None where nothing was, or in a copy."""
        try:
            with self._path.open("rb") as file:
                facts = os.fstat(file.fileno())
                entry = json.loads(file.read())
            if entry["file"] != [facts.st_dev, facts.st_ino]:
                return OwnershipRecord("", held=False)
            held, secret_rotated = entry["held"] is True, entry["fenced"] is True
            return OwnershipRecord(str(entry["registration"]), held, secret_rotated)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return OwnershipRecord(
                "", held=False
            )  # somebody wrote one: it is not known whether here

    def save(self, ownership_record: OwnershipRecord) -> None:
        """Write it; on the disk when this returns.

        Raises:
            UsageError: it cannot be written.
        """
        try:
            with replacing(self._path, durable=True) as file:
                facts = os.fstat(file.fileno())
                record = {
                    "registration": ownership_record.registration,
                    "held": ownership_record.held,
                    "fenced": ownership_record.secret_rotated,
                    "file": [facts.st_dev, facts.st_ino],
                }
                json.dump(record, file)
        except OSError as exc:
            raise UsageError(f"{self._path} cannot be written: {exc.strerror}") from exc
