"""When the ledger cannot be written: said once, and whether it can be again."""

from __future__ import annotations

import logging
from typing import Final

from rainbow_agent.core.errors import LedgerBlocked
from rainbow_agent.core.ports import Clock
from rainbow_agent.runtime.conditions import ConditionName, Conditions
from rainbow_agent.storage.ledger_registrations import LedgerNotes

log = logging.getLogger(__name__)

#: The note that is written to see it.
_WRITTEN_NOTE: Final = "written"
#: Bytes that have to fit: a little does even where nothing else would.
_PROBE_BYTES: Final = 256 * 1024


def cannot_write(conditions: Conditions, exc: LedgerBlocked) -> None:
    """Set the condition, and log it once, that the ledger cannot be written."""
    if conditions.set(ConditionName.LEDGER_UNWRITABLE, str(exc)):
        log.error("%s", exc, extra={"action": "ledger_unwritable"})


def write_again(ledger: LedgerNotes, clock: Clock, conditions: Conditions) -> bool:
    """While the ledger could not be written, write something; True when that is over now.

    Raises:
        LedgerBlocked: it still cannot be.
    """
    if not conditions.has(ConditionName.LEDGER_UNWRITABLE):
        return False
    at = clock.now()
    ledger.checkpoint()  # only a commit does that otherwise, and none went through
    ledger.put_note(_WRITTEN_NOTE, [at, " " * _PROBE_BYTES])
    ledger.put_note(_WRITTEN_NOTE, [at])
    conditions.clear(ConditionName.LEDGER_UNWRITABLE)
    log.info("The ledger can be written again", extra={"action": "ledger_writable"})
    return True
