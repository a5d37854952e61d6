"""How the cluster graph that rainbow has becomes another one (docs/decisions/0005)."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final, Protocol

from rainbow_agent.ports import Ledger
from rainbow_agent.registration import Registrar
from rainbow_agent.states import TaskState

#: A token that the server made for one cluster is a random UUID; one that all clusters share is
#: what its operator chose, or the server's name.
_OWN_TOKEN: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Renewal(Enum):
    """What came of it."""

    DONE = "done"  # registered again: fresh graph, same token, another session
    LATER = "later"  # not now: jobs wait to be accepted
    IN_PLACE = "in place"  # registering again is no way here: replace the graph where it is


class KnowsToken(Protocol):
    """Where the cluster's token is kept (adapters.credentials)."""

    def token(self) -> str:
        """The token; "" when there is none."""


def renew(registrar: Registrar, ledger: Ledger, store: KnowsToken) -> Renewal:
    """Register the cluster again, if nobody else would notice.

    Raises:
        Transient, Fatal: as Registrar.renew.
    """
    if not store.token() or _OWN_TOKEN.fullmatch(store.token()):
        return Renewal.IN_PLACE  # a new registration has a new token: submitters would be denied
    if not quiet(ledger, registrar.ensure().registration):
        return Renewal.LATER
    return Renewal.DONE if registrar.renew() else Renewal.IN_PLACE


def quiet(ledger: Ledger, registration: str) -> bool:
    """Whether every job that was received is safe here, and rainbow has let go of it.

    Otherwise rainbow would offer it again under the next registration, as another job.
    """
    return not (
        ledger.unaccepted(registration)
        or ledger.unplanned()
        or ledger.tasks_in({TaskState.PENDING, TaskState.SUBMITTING})
    )
