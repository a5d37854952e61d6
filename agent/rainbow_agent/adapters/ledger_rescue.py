"""The agent's ledger at its start: opened; one that is damaged is put aside, and a new one made.

What the new one can be filled with stands in the workload manager's journal and in rainbow
(rebuild.py); the note REBUILD in it says that this is to be done, and why.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from rainbow_agent.adapters.sqlite_ledger import SqliteLedger
from rainbow_agent.adapters.sqlite_ledger_open import put_aside
from rainbow_agent.adapters.sqlite_ledger_store import errors_in_words
from rainbow_agent.errors import LedgerCorrupt
from rainbow_agent.logs import when
from rainbow_agent.rebuild import REBUILD

log = logging.getLogger(__name__)

#: Ledgers up to this size are read whole at the start; larger ones only where they are used.
_READ_SIZE = 64 * 1024 * 1024


def open_or_replace(path: Path, *, registered: bool, at: float) -> SqliteLedger:
    """The ledger, whole.

    Args:
        path: its file.
        registered: whether the cluster has a secret already: then a ledger that is not there was
            lost, and is no first start.
        at: epoch seconds.

    Raises:
        Fatal, LedgerDamaged: it cannot be used, and that is no damage of the file itself.
    """
    lost = registered and not path.exists()
    try:
        ledger = SqliteLedger.open(path)
        _read_through(path)
    except LedgerCorrupt as exc:
        aside = put_aside(path, at)
        log.critical(
            "The ledger is damaged; it is kept as %s, and a new one is made from what the workload"
            " manager and rainbow still know: %s",
            aside,
            exc,
            extra={"action": "ledger_put_aside", "aside": str(aside)},
        )
        fresh = SqliteLedger.open(path)
        fresh.put_note(REBUILD, {"since": when(at), "because": str(exc), "aside": str(aside)})
        return fresh
    if lost:
        because = f"{path} was not there, and this cluster is registered"
        log.warning("The ledger is new although this cluster is registered: it is rebuilt")
        ledger.put_note(REBUILD, {"since": when(at), "because": because, "aside": None})
    return ledger


def _read_through(path: Path) -> None:
    """Read every row of every table once: damage that a look at the pages does not show.

    Raises:
        LedgerCorrupt: something in it is none of ours.
    """
    if path.stat().st_size > _READ_SIZE:
        return
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with errors_in_words(path), closing(sqlite3.connect(uri, uri=True)) as db:
        problems = [str(row[0]) for row in db.execute("PRAGMA integrity_check(1)")]
        if problems != ["ok"]:
            raise sqlite3.DatabaseError(f"malformed: {' '.join(problems[0].split())}")
        loose = db.execute("PRAGMA foreign_key_check").fetchone()
        if loose:
            raise sqlite3.DatabaseError(f"malformed: a row of {loose[0]} has lost what it is of")
