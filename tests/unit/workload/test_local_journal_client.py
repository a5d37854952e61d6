"""The client's end of the local workload manager's journal, where the stream ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import JobKey, TaskKey
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.workload.local.journal import LocalJournal
from rainbow_agent.workload.local.server.client import Channel
from rainbow_agent.workload.local.server.nest import events_file
from rainbow_agent.workload.local.server.protocol import event_entry

GROUP = TaskKey(JobKey("registration", 7), "g", 0)
SUBMIT = WorkloadEvent(EventKind.SUBMIT, 5, 1.0, key=GROUP, group=True)
START = WorkloadEvent(EventKind.START, 5, 2.0)


class Scripted(Channel):
    """A connection over which some messages come, and then its end."""

    def __init__(self, batches: list[list[dict[str, Any]]]) -> None:
        self._batches = batches

    def send(self, message: Any) -> None:
        """Nobody reads it."""

    def receive(self, timeout: float) -> list[dict[str, Any]]:
        """The next batch."""
        if not self._batches:
            raise WorkloadUnavailable("the server is gone")
        return self._batches.pop(0)


def test_what_a_group_told_before_the_server_died_is_returned_first(tmp_path: Path) -> None:
    """The folder may be gone with the server; its end is said by each later call."""
    channel = Scripted([[event_entry(SUBMIT), event_entry(START)]])
    journal = LocalJournal(channel, tmp_path, lambda _: True)
    assert journal.next_events(0.0) == [SUBMIT, START]
    entry = {"timestamp": 3.0, "name": "task", "context": {"task": "g/t", "state": "running"}}
    path = events_file(tmp_path, 5)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(entry) + "\n")
    inside = WorkloadEvent(EventKind.INSIDE, 5, 3.0, news=entry)
    assert journal.next_events(0.0) == [inside]
    for _ in range(2):
        with pytest.raises(WorkloadUnavailable, match="is gone"):
            journal.next_events(0.0)


def test_what_came_before_a_message_that_is_none_is_returned_first(tmp_path: Path) -> None:
    """Then the journal has to be opened anew, however often it is asked."""
    channel = Scripted([[event_entry(SUBMIT), {"event": "no such event"}], []])
    journal = LocalJournal(channel, tmp_path, lambda _: True)
    assert journal.next_events(0.0) == [SUBMIT]
    for _ in range(2):
        with pytest.raises(WorkloadUnavailable, match="open a new journal"):
            journal.next_events(0.0)
