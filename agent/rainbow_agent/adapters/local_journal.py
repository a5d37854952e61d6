"""ports.Journal over the local workload manager."""

from __future__ import annotations

from rainbow_agent.embedded.workload.client import Channel
from rainbow_agent.embedded.workload.protocol import Op, entry_event
from rainbow_agent.errors import Rejected, WorkloadUnavailable
from rainbow_agent.model import WorkloadEvent


class LocalJournal:
    """A stream of events on a connection of its own."""

    def __init__(self, channel: Channel) -> None:
        """Take over a connection and ask for the journal.

        Raises:
            WorkloadUnavailable: the server is gone.
        """
        self._channel = channel
        channel.send({"id": 0, "op": Op.JOURNAL.value})

    def next_events(self, timeout: float) -> list[WorkloadEvent]:
        """What has happened since the last call; empty after `timeout` seconds without news.

        Raises:
            WorkloadUnavailable: the server is gone; open a new journal.
        """
        entries = self._channel.receive(timeout)
        try:
            return [entry_event(entry) for entry in entries if "event" in entry]
        except Rejected as exc:
            raise WorkloadUnavailable(f"{exc}; open a new journal") from exc

    def close(self) -> None:
        """End the stream."""
        self._channel.close()
