"""How the cluster graph that rainbow has becomes another one (docs/decisions/0005)."""

from __future__ import annotations

import logging
import re
from enum import Enum
from typing import Final, Protocol

from rainbow_agent.core.errors import UsageError
from rainbow_agent.core.states import TaskState
from rainbow_agent.fleet.ports import Handover, Notes
from rainbow_agent.fleet.registration import Registrar
from rainbow_agent.storage.ledger_rebuild import REBUILD, STRAYS

log = logging.getLogger(__name__)

#: A token that the server made for one cluster is a random UUID; one that all clusters share is
#: what its operator chose, or the server's name.
_OWN_TOKEN: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


#: In the note REBUILD: whether all is in the ledger again that rainbow still knew.
_SETTLED: Final = "settled"


class Renewal(Enum):
    """What came of it."""

    DONE = "done"  # registered again: fresh graph, same token, another session
    LATER = "later"  # not now: jobs wait to be accepted
    IN_PLACE = "in place"  # registering again does not work here: replace the graph where it is


class KnowsToken(Protocol):
    """Where the cluster's token is kept (adapters.credentials)."""

    def token(self) -> str:
        """The token; "" when there is none."""


def renew(registrar: Registrar, ledger: Handover, store: KnowsToken) -> Renewal:
    """Register the cluster again, if no submitter and no other agent would notice.

    Raises:
        Transient, Fatal: as Registrar.renew.
    """
    if not store.token() or _OWN_TOKEN.fullmatch(store.token()):
        return Renewal.IN_PLACE  # a new registration has a new token: submitters would be denied
    if not registrar.may_renew() or not quiet(ledger, registrar.ensure().registration):
        return Renewal.LATER
    try:
        return Renewal.DONE if registrar.renew() else Renewal.IN_PLACE
    except UsageError as exc:
        log.warning("The cluster is not registered again: %s", exc, extra={"action": "not_renewed"})
        return Renewal.IN_PLACE


class SecretOwner(Protocol):
    """Who knows whether somebody else may have our secret (ownership.Ownership)."""

    @property
    def secret_rotation_due(self) -> bool:
        """Whether somebody may."""

    def mark_secret_rotated(self) -> None:
        """It was done, or cannot be."""


def settled(ledger: Notes) -> None:
    """Rainbow offers nothing that the ledger does not have: one that was rebuilt has all now."""
    rebuilt = ledger.note(REBUILD)
    if rebuilt and not rebuilt.get(_SETTLED) and not ledger.note(STRAYS):
        ledger.put_note(REBUILD, {**rebuilt, _SETTLED: True})


def rotate_secret(
    ownership: SecretOwner, registrar: Registrar, ledger: Handover, store: KnowsToken
) -> None:
    """Have rainbow give us another secret, if somebody else may have the one that we have.

    To be called when rainbow offers nothing. Where a registration cannot be renewed it is said.

    Raises:
        Transient, Fatal: as Registrar.renew.
    """
    settled(ledger)
    if not ownership.secret_rotation_due:
        return
    outcome = renew(registrar, ledger, store)
    if outcome is Renewal.IN_PLACE:
        log.warning(
            "This cluster's secret cannot be changed from here: an agent that held it before would"
            " take its jobs again if it came back",
            extra={"action": "secret_not_rotated"},
        )
        ownership.mark_secret_rotated()


def quiet(ledger: Handover, registration: str) -> bool:
    """Whether every job that was received is safe here, and rainbow has let go of it.

    Otherwise rainbow would offer it again under the next registration, as another job.
    """
    rebuilt = ledger.note(REBUILD)
    if rebuilt and not rebuilt.get(_SETTLED):
        return False  # rainbow may still offer what is half in the workload manager already
    return not (
        ledger.unaccepted(registration)
        or ledger.unplanned()
        or ledger.tasks_in({TaskState.PENDING, TaskState.SUBMITTING})
    )
