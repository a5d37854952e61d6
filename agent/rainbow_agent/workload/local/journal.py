"""ports.Journal over the local workload manager."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rainbow_agent.core.errors import Rejected, WorkloadUnavailable
from rainbow_agent.core.model import TaskKey
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.workload.local.server.client import Channel
from rainbow_agent.workload.local.server.nest import events_file
from rainbow_agent.workload.local.server.protocol import Op, entry_event

#: Seconds between two looks at the files of groups that run.
_GLANCE = 0.1


@dataclass
class _Tail:
    """The file in which a group's runner tells what is inside; it only grows."""

    flux_id: int
    path: Path
    offset: int = 0
    rest: bytes = field(default=b"")

    def news(self) -> Iterator[WorkloadEvent]:
        """What was added since the last call, in whole lines."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except FileNotFoundError:
            return  # nothing was reported yet
        self.offset += len(data)
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError):
                continue  # the runner was killed while it wrote, or something else wrote there
            if isinstance(entry, dict):
                at = entry.get("timestamp")
                when = float(at) if isinstance(at, int | float) else time.time()
                yield WorkloadEvent(EventKind.INSIDE, self.flux_id, when, news=entry)


class LocalJournal:
    """A stream of events on a connection of its own."""

    def __init__(
        self, channel: Channel, folder: Path, follow: Callable[[TaskKey], bool] | None = None
    ) -> None:
        """Take over a connection and ask for the journal.

        Args:
            channel: the connection.
            folder: the server's.
            follow: see ports.Workload.open_journal.

        Raises:
            WorkloadUnavailable: the server is gone.
        """
        self._channel = channel
        self._folder = folder
        self._follow = follow
        self._groups: dict[int, TaskKey] = {}  # that have not started, as far as was read
        self._tails: dict[int, _Tail] = {}  # of those that run and are followed
        self._ended: WorkloadUnavailable | None = None  # what the next call has to say
        channel.send({"id": 0, "op": Op.JOURNAL.value})

    def next_events(self, timeout: float) -> list[WorkloadEvent]:
        """What has happened since the last call; empty after `timeout` seconds without news.

        Raises:
            WorkloadUnavailable: the server is gone; open a new journal.
        """
        deadline = time.monotonic() + timeout
        while self._ended is None:
            found = [event for tail in self._tails.values() for event in tail.news()]
            left = max(0.0, deadline - time.monotonic())
            patience = 0.0 if found else min(left, _GLANCE) if self._tails else left
            try:
                for entry in self._channel.receive(patience):
                    if "event" in entry:
                        found.extend(self._with_inside(entry_event(entry)))
            except WorkloadUnavailable as exc:
                self._ended = exc
            except Rejected as exc:
                self._ended = WorkloadUnavailable(f"{exc}; open a new journal")
            if found or (left <= 0 and self._ended is None):
                return found
        raise self._ended

    def _with_inside(self, event: WorkloadEvent) -> Iterator[WorkloadEvent]:
        """An event, and before the end of a group that is followed those of its tasks."""
        if self._follow is not None and event.kind is EventKind.SUBMIT:
            if event.group and event.key is not None:
                self._groups[event.flux_id] = event.key
        elif event.kind is EventKind.START:
            key = self._groups.pop(event.flux_id, None)
            if key is not None and self._follow is not None and self._follow(key):
                path = events_file(self._folder, event.flux_id)
                self._tails[event.flux_id] = _Tail(event.flux_id, path)
        elif event.kind is EventKind.CLEAN:
            self._groups.pop(event.flux_id, None)
            tail = self._tails.pop(event.flux_id, None)
            if tail is not None:
                yield from tail.news()
        yield event

    def close(self) -> None:
        """End the stream."""
        self._channel.close()
