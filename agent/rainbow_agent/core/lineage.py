"""Which instance of the workload manager answers, and what became of jobs that it has not. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True)
class Lineage:
    """What an instance of a workload manager has in common with one that has its state later."""

    name: str  # "": not known
    last_id: int  # the highest id that it remembers of a job that it forgot; 0 where none


class Gone(str, Enum):
    """What became of the instance that had tasks which its history does not have."""

    REPLACED = "replaced"  # another instance answers: all that the old one had ended with it
    PURGED = "purged"  # it is the same one, or has its state: they ended, and it forgot them
    UNKNOWN = "unknown"  # this ledger never noted which instance it was


@dataclass(frozen=True)
class Known:
    """Whose history is read, and what the ledger noted of the one whose was read before."""

    instance: str
    lineage: str  # "": not known
    last_id: int  # no job of this lineage has a higher id
    noted: tuple[object, object]  # instance and lineage; None: never

    def gone(self, flux_id: int | None) -> Gone:
        """What became of a job that is not in the history."""
        before, line = self.noted
        if before is None:
            return Gone.UNKNOWN
        if before == self.instance:
            return Gone.PURGED
        if not self.lineage or line != self.lineage:
            return Gone.REPLACED
        # With a higher id, it was lost together with the end of its instance: this one continues
        # from an earlier state, and is as new to the job as one without any.
        had = flux_id is None or flux_id <= self.last_id
        return Gone.PURGED if had else Gone.REPLACED
