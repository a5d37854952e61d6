"""How messages travel: in boxes, where rainbow has some, and as rows of its list of jobs elsewhere.

The embedded scheduler has a box for each cluster and each inbox, as a service of its own
(fleet/grpc/stubs/messages.proto); the Go server has none. Whoever reads looks for both, so it does
not matter who found out first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from rainbow_agent.core.ports import Scheduler
from rainbow_agent.fleet.messages.rows import Message


class Waiting(NamedTuple):
    """A message in a box."""

    id: int
    message: Message | None  # None: it is none that this version reads


class Box(NamedTuple):
    """What a look into a box found."""

    messages: tuple[Waiting, ...]
    whole: bool = True  # whether there are no more
    waited: bool = True  # False: nothing is in it, and the server waits for too many others


class Carrier(Scheduler, Protocol):
    """A connection to a rainbow that may have boxes. All may raise Transient, Refused."""

    def send_message(self, token: str, message: Message) -> bool:
        """Leave a message in the box of whom it is for.

        Args:
            token: submits to that cluster.
            message: the message.

        Returns:
            False where rainbow has no boxes: nothing was sent.
        """

    def messages(self, cluster: str, secret: str, wait: float = 0.0) -> Box | None:
        """What is in a cluster's box, oldest first; it stays there.

        Args:
            cluster: whose.
            secret: the cluster's.
            wait: seconds to wait for a message where there is none.

        Returns:
            None where rainbow has no boxes.
        """

    def remove_messages(self, cluster: str, secret: str, ids: Sequence[int]) -> None:
        """Take messages out of a cluster's box; unknown ids are ignored."""
