"""News of the workload manager that is not in the ledger yet, which cannot be written now.

If the workload manager is replaced meanwhile, no other history has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rainbow_agent.core.errors import LedgerBlocked
from rainbow_agent.core.model import JobChange, TaskChange
from rainbow_agent.jobs.ports import Followed

#: Changes that are kept. Beyond that the history is read again, once the ledger can be written.
MAX_KEPT: Final = 10_000


class UnwrittenNews:
    """Changes in the order in which they were heard; used by the journal's thread."""

    def __init__(self) -> None:
        self._kept: list[TaskChange] = []
        #: Whether all that could not be written is kept.
        self.whole = True

    def __bool__(self) -> bool:
        return bool(self._kept)

    def write(self, ledger: Followed, news: Sequence[TaskChange]) -> list[JobChange]:
        """Write what is kept and these; what became of jobs by it.

        Raises:
            LedgerBlocked: it cannot be written; it is kept, as far as it is not too much.
        """
        try:
            changes = ledger.apply([*self._kept, *news])
        except LedgerBlocked:
            self.whole = len(self._kept) + len(news) <= MAX_KEPT
            self._kept += news if self.whole else ()
            raise
        self._kept, self.whole = [], True
        return changes
