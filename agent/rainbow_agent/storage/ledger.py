"""The ledger in a sqlite file: its parts over one connection.

Each part is a class of its own (ledger_offers.py, ledger_tasks.py, ...) and each operation is
written there once. Who uses the ledger names what they need of it as a small Protocol of their
own (fleet/ports.py, jobs/ports.py, monitoring/ports.py).
"""

from __future__ import annotations

from pathlib import Path

from rainbow_agent.storage.ledger_asked import LedgerAsked
from rainbow_agent.storage.ledger_cancellations import LedgerCancellations
from rainbow_agent.storage.ledger_denials import LedgerDenials
from rainbow_agent.storage.ledger_file import connect, connect_readonly
from rainbow_agent.storage.ledger_handles import LedgerHandles
from rainbow_agent.storage.ledger_offers import LedgerOffers
from rainbow_agent.storage.ledger_plans import LedgerPlans
from rainbow_agent.storage.ledger_registrations import LedgerNotes, LedgerRegistrations
from rainbow_agent.storage.ledger_reports import LedgerReports
from rainbow_agent.storage.ledger_tasks import LedgerTasks
from rainbow_agent.storage.ledger_views import JobViews


class SqliteLedger(
    LedgerRegistrations,
    LedgerNotes,
    LedgerOffers,
    LedgerPlans,
    LedgerTasks,
    LedgerDenials,
    LedgerReports,
    LedgerCancellations,
    LedgerHandles,
    LedgerAsked,
    JobViews,
):
    """The agent's memory, over one connection, which belongs to the thread that opened it.

    Every method is one transaction, durable when it returns. A method that changes something
    raises LedgerError when it cannot; nothing of it is then written.
    """

    @classmethod
    def open(cls, path: Path) -> SqliteLedger:
        """Open the ledger to read and write; make it and its folder, or migrate it, if needed.

        Raises:
            Fatal: a newer version wrote it.
            LedgerError: it cannot be used; the message has the damage and the cure.
        """
        return cls(connect(path))

    @classmethod
    def open_readonly(cls, path: Path) -> SqliteLedger:
        """Open the ledger to read only, also while the daemon is down.

        Follows a daemon that runs. Beside one that is down, it shows the moment of opening and
        makes no files.

        Raises:
            UsageError: there is no ledger.
            Fatal: another version wrote it.
            LedgerError: it cannot be read.
        """
        return cls(connect_readonly(path))

    def try_to_write(self) -> None:
        """See that it is not read-only; nothing is left of it.

        Raises:
            LedgerError: it is.
        """
        self._connection.try_to_write()

    def save(self, copy: Path) -> None:
        """Write all of it into another file, which must not be there; mode 0600.

        Raises:
            LedgerError: it cannot be read, or the file not be written.
        """
        self._connection.save(copy)

    def damage(self) -> str:
        """What is wrong with the file's pages, in sqlite's words; "" when it is whole."""
        with self._connection.read() as db:
            (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        return "" if verdict == "ok" else " ".join(str(verdict).split())
