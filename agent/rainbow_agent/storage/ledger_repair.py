"""The agent's ledger at its start: opened; one that is damaged is put aside, and a new one made.

What the new one can be filled with stands in the workload manager's journal and in rainbow
(storage/ledger_rebuild.py); the note REBUILD in it says that this is to be done, and why.
"""

from __future__ import annotations

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from rainbow_agent.core.errors import LedgerCorrupt, LedgerError
from rainbow_agent.runtime.logs import when
from rainbow_agent.storage.ledger import SqliteLedger
from rainbow_agent.storage.ledger_check import problems
from rainbow_agent.storage.ledger_connection import errors_in_words
from rainbow_agent.storage.ledger_file import put_aside
from rainbow_agent.storage.ledger_rebuild import REBUILD

log = logging.getLogger(__name__)

#: Bytes of the smallest ledger, one page: its file is made whole, and never shorter.
_MIN_LEDGER_BYTES = 4096
#: Ledgers up to this size are read whole at the start; larger ones only where they are used.
_MAX_READ_BYTES = 64 * 1024 * 1024


def open_or_replace(
    path: Path, *, registered: bool, at: float, broken: LedgerError | None = None
) -> SqliteLedger:
    """The ledger, whole.

    Args:
        path: its file.
        registered: whether the cluster has a secret already: then a ledger that is not there was
            lost, and this is not a first start.
        at: epoch seconds.
        broken: what was found to be wrong with it while it was in use. What is corrupt is not tried
            again; otherwise it is looked through, however large it is.

    Raises:
        Fatal, LedgerError: it cannot be used, though the file itself is not damaged.
    """
    lost = registered and not path.exists()
    if registered and not lost and path.stat().st_size < _MIN_LEDGER_BYTES:
        # sqlite takes it for a database that was just made, and would start over without a word.
        broken = LedgerCorrupt(f"ledger {path}: it was cut off to {path.stat().st_size} bytes")
    if isinstance(broken, LedgerCorrupt) and not lost:
        return _replace(path, broken, at)
    try:
        ledger = _open_whole(path, whatever_size=broken is not None)
    except LedgerCorrupt as exc:
        return _replace(path, exc, at)
    if lost:
        because = f"{path} was not there, and this cluster is registered"
        log.warning("The ledger is new although this cluster is registered: it is rebuilt")
        ledger.put_note(REBUILD, {"since": when(at), "because": because, "aside": None})
    return ledger


def _open_whole(path: Path, *, whatever_size: bool) -> SqliteLedger:
    """The ledger, read through; closed again before anybody moves it.

    The last connection that closes removes the log by its name, which is then the new one's.
    """
    ledger = SqliteLedger.open(path)
    try:
        if whatever_size or path.stat().st_size <= _MAX_READ_BYTES:
            _read_through(path)
        ledger.try_to_write()
    except BaseException:  # whatever it is; raised again
        ledger.close()
        raise
    return ledger


def save_if_removed(ledger: SqliteLedger, path: Path) -> None:
    """Write a ledger whose file was removed while it was open anew, and close it.

    To be called when every other connection of this process to it is closed.
    """
    if path.exists() or not path.parent.is_dir():
        ledger.close()
        return
    copy = path.with_name(f"{path.name}.saved")
    try:
        copy.unlink(missing_ok=True)
        ledger.save(copy)
        ledger.close()
        # Its log would be taken for that of the new file.
        for end in ("-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
        copy.rename(path)
    except (LedgerError, OSError) as exc:
        log.critical("The ledger was removed and could not be saved: %s", exc)
    else:
        log.warning("The ledger was removed; it is saved as %s again", path)
    finally:
        ledger.close()


def _replace(path: Path, exc: LedgerCorrupt, at: float) -> SqliteLedger:
    """Put a damaged ledger aside, and make a new one that is to be filled."""
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


def _read_through(path: Path) -> None:
    """Read every row of every table once: damage that a look at the pages does not show.

    Raises:
        LedgerCorrupt: something in it is none of ours.
    """
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with errors_in_words(path), closing(sqlite3.connect(uri, uri=True)) as db:
        for problem in problems(db):
            raise sqlite3.DatabaseError(f"malformed: {problem}")
