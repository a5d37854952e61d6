"""Sending a message to an inbox, or to a cluster: into its box, or as a row of its list."""

from __future__ import annotations

from contextlib import suppress

from rainbow_agent.core.errors import ClusterUnknown, GraphExists
from rainbow_agent.core.handles import is_inbox
from rainbow_agent.fleet.messages import rows
from rainbow_agent.fleet.messages.carrier import Carrier
from rainbow_agent.fleet.messages.graph import INBOX_GRAPH


def send(carrier: Carrier, token: str, message: rows.Message) -> None:
    """Send a message to the cluster that it is for.

    Where rainbow has no boxes it is a row. A rainbow that was restarted takes none for a cluster
    whose graph it lost: that of an inbox is always the same and is given back here; a cluster's own
    agent gives back its own.

    Raises:
        Transient, Refused: rainbow does not take it (RequestDenied: not with this token).
    """
    if carrier.send_message(token, message):
        return

    def submit() -> None:
        # `random` of one cluster: whatever this server selects by is left alone.
        text = rows.write(message)
        carrier.submit(rows.ROW_NAME, {message.to: token}, text, select="random")

    try:
        submit()
    except ClusterUnknown:
        if not is_inbox(message.to):
            raise
        with suppress(GraphExists):  # somebody was quicker
            carrier.restore_graph(message.to, INBOX_GRAPH)
        submit()
