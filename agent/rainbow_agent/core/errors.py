"""One tree of errors, sorted by what to do about them.

Transient: try again, the same call may succeed. Refused: this request never will; record it and
go on. Fatal: the daemon cannot do its work until a human acts; it ends with exit code 42
(`RestartPreventExitStatus=42`, a habit shared with Flux's own unit). A message names the thing,
says what is wrong with it, and what to do; it never holds a secret.
"""

from __future__ import annotations

import re
from typing import ClassVar


class RainbowAgentError(Exception):
    """Something went wrong that rainbow-agent knows how to describe."""

    exit_code: ClassVar[int] = 1

    @property
    def kind(self) -> str:
        """The error's name for machines: `RequestDenied` is `request-denied`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "-", type(self).__name__.lstrip("_")).lower()


class UsageError(RainbowAgentError):
    """A setting or an argument is not usable; exit code 2."""

    exit_code: ClassVar[int] = 2


class Transient(RainbowAgentError):
    """The same call may succeed later."""


class Unavailable(Transient):
    """The rainbow scheduler cannot be reached, is slow, or its database is locked."""


class DatabaseLocked(Unavailable):
    """The rainbow scheduler's database is locked: it answered, and did nothing."""


class WorkloadUnavailable(Transient):
    """The workload manager (Flux, or the local one) cannot be reached."""


class SubmissionsHeld(WorkloadUnavailable):
    """The workload manager answers, and takes no job at all until its operator does something."""


class NotDescribed(Transient):
    """No node of the cluster was described yet."""


class Refused(RainbowAgentError):
    """The other side answered, and the answer is no."""


class RequestDenied(Refused):
    """`request denied`: a wrong secret or token, or a cluster the server does not know."""


class ClusterExists(Refused):
    """The name is registered already; the server gives no secret for it a second time."""


class ClusterUnknown(Refused):
    """The server keeps the cluster's row but lost its graph (it lives in memory only)."""


class Rejected(Refused):
    """The server or the workload manager refuses this request, in its own words."""


class GraphExists(Rejected):
    """The server has a graph of this cluster already; it keeps that one."""


class SubsystemExists(Rejected):
    """The server has this subsystem of the cluster already; it has to be deleted first."""


class SubsystemMissing(Rejected):
    """There is no such subsystem of the cluster to delete."""


class JobspecError(Refused):
    """A jobspec cannot run as it is written; the message has the place and the cure.

    Args:
        message: one sentence for one fault.
        line: where it stands in the text, from 1; None where it stands nowhere.
        column: likewise.
    """

    def __init__(self, message: str, *, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
        #: More that is wrong with the same text.
        self.others: tuple[JobspecError, ...] = ()


class Fatal(RainbowAgentError):
    """Nothing gets better without a human; exit code 42, do not restart me."""

    exit_code: ClassVar[int] = 42


class InvalidTransition(RainbowAgentError):
    """A state may not follow another; the ledger refuses to write it."""


class LedgerError(RainbowAgentError):
    """The ledger could not be read or written; the subclasses say what to do about it."""


class LedgerBlocked(LedgerError):
    """The ledger is whole and cannot be written now: disk full, read-only, or locked.

    A running daemon waits until it can be. One that starts exits with status 1, and may be
    restarted.
    """


class LedgerDamaged(LedgerError, Fatal):
    """The ledger cannot be used as it is."""


class LedgerCorrupt(LedgerDamaged):
    """What stands in the ledger's file is not a ledger any more: a new one has to be made."""
