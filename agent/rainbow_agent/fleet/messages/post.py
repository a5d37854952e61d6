"""Sending a message: a row for an inbox, or for a cluster."""

from __future__ import annotations

from contextlib import suppress

from rainbow_agent.core.errors import ClusterUnknown, GraphExists
from rainbow_agent.core.handles import is_inbox
from rainbow_agent.core.ports import Scheduler
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.messages.graph import INBOX_GRAPH


def send(scheduler: Scheduler, token: str, message: rows.Message) -> None:
    """Put a message into the list of the cluster that it is for.

    A rainbow that was restarted takes nothing for a cluster whose graph it lost. That of an inbox
    is always the same and is given back here; a cluster's own agent gives back its own.

    Raises:
        Transient, Refused: rainbow does not take it (RequestDenied: not with this token).
    """

    def submit() -> None:
        # `random` of one cluster: whatever this server selects by is left alone.
        text = rows.write(message)
        scheduler.submit(rows.ROW_NAME, {message.to: token}, text, select="random")

    try:
        submit()
    except ClusterUnknown:
        if not is_inbox(message.to):
            raise
        with suppress(GraphExists):  # somebody was quicker
            scheduler.restore_graph(message.to, INBOX_GRAPH)
        submit()
