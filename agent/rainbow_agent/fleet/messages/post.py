"""Sending a message to an inbox, or to a cluster: into its box, or as a row of its list."""

from __future__ import annotations

from contextlib import suppress

from rainbow_agent.core.errors import ClusterUnknown, GraphExists, RequestDenied
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
        Transient, Refused: rainbow does not take it (RequestDenied, twice: not with this token).
    """
    try:
        _send(carrier, token, message)
    except RequestDenied:
        # Rainbow says so, too, when it could not read its database at that moment, or is about to
        # stop (decision 0051); it has not taken the message then.
        _send(carrier, token, message)


def _send(carrier: Carrier, token: str, message: rows.Message) -> None:
    if carrier.send_message(token, message):
        return
    try:
        _submit(carrier, token, message)
    except ClusterUnknown:
        if not is_inbox(message.to):
            raise
        with suppress(GraphExists):  # somebody was quicker
            carrier.restore_graph(message.to, INBOX_GRAPH)
        _submit(carrier, token, message)


def _submit(carrier: Carrier, token: str, message: rows.Message) -> None:
    # `random` of one cluster: whatever this server selects by is left alone.
    text = rows.write(message)
    carrier.submit(rows.ROW_NAME, {message.to: token}, text, select="random")
