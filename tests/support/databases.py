"""For tests: databases that are copied while they are in use, and put back."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

_WAIT_S: Final = 60.0  # for a database that another process writes


def copy_hot(database: Path, copy: Path) -> None:
    """Copy a database that is in use, as `sqlite3 FILE '.backup COPY'` does."""
    copy.unlink(missing_ok=True)
    with (
        closing(sqlite3.connect(database, timeout=_WAIT_S)) as source,
        closing(sqlite3.connect(copy)) as target,
    ):
        source.backup(target)


def put_back(database: Path, copy: Path) -> None:
    """Put a copy in the place of a database that is not open."""
    for suffix in ("-wal", "-shm", "-journal"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)
    mode = database.stat().st_mode
    shutil.copyfile(copy, database)
    database.chmod(mode)
