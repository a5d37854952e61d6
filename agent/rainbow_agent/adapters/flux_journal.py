"""Flux's job manager journal: all history, then what happens, over `job-manager.events-journal`.

The streaming RPC itself, not flux.job.JournalConsumer, which came with flux-core 0.68. Every
response has a job id and events (RFC 18, RFC 21). In the backlog it has all events of one job and
its jobspec; live it has one event, and the jobspec comes with `submit`, in 0.62 with `validate`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rainbow_agent.adapters.flux_connection import Connection, Response
from rainbow_agent.errors import Fatal, WorkloadUnavailable
from rainbow_agent.model import EventKind, TaskKey, WorkloadEvent

_TOPIC = "job-manager.events-journal"
_WANTED = ("submit", "validate", "invalidate", "start", "finish", "exception", "clean")
_CAUGHT_UP_ID = -1
#: Events in one batch, so that a long history does not have to fit into memory at once.
_BATCH = 1000


class JournalReader:
    """Turns responses into events. Pure: it holds only submissions that are not yet valid.

    A SUBMIT comes out when the job manager has validated the job: one that it turns down
    (`invalidate`) never was a job, and must not look like one.
    """

    def __init__(self) -> None:
        self._submitted: dict[int, tuple[float, TaskKey | None]] = {}

    def read(self, answer: Mapping[str, Any], now: float) -> Iterator[WorkloadEvent]:
        """The events in one response; `now` is the time of CAUGHT_UP, in epoch seconds."""
        flux_id = answer["id"]
        if flux_id == _CAUGHT_UP_ID:
            yield WorkloadEvent(EventKind.CAUGHT_UP, 0, now)
            return
        key = _key(answer.get("jobspec"))
        for entry in answer["events"]:
            event = self._event(flux_id, entry, key)
            if event:
                yield event

    def _event(
        self, flux_id: int, entry: Mapping[str, Any], key: TaskKey | None
    ) -> WorkloadEvent | None:
        name, at = entry["name"], entry["timestamp"]
        context = entry.get("context") or {}
        if name == "submit":
            self._submitted[flux_id] = (at, key)
        elif name == "validate":
            at, early_key = self._submitted.pop(flux_id, (at, None))
            return WorkloadEvent(EventKind.SUBMIT, flux_id, at, key=early_key or key)
        elif name == "invalidate":
            self._submitted.pop(flux_id, None)
        elif name == "finish":
            return WorkloadEvent(EventKind.FINISH, flux_id, at, status=context.get("status"))
        elif name == "exception":
            return WorkloadEvent(
                EventKind.EXCEPTION,
                flux_id,
                at,
                exception=context.get("type", ""),
                severity=context.get("severity", 0),
                note=context.get("note", ""),
            )
        elif name in ("start", "clean"):
            return WorkloadEvent(EventKind(name), flux_id, at)
        return None


def _key(jobspec: Any) -> TaskKey | None:
    """The key of a job of ours, where the dispatcher wrote it."""
    for name in ("attributes", "user", "rainbow"):
        jobspec = jobspec.get(name) if isinstance(jobspec, Mapping) else None
    return TaskKey.from_attribute(jobspec)


class FluxJournal:
    """The journal, on a connection of its own (ports.Journal).

    Args:
        connection: an open connection, which the journal then owns.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._reader = JournalReader()
        connection.request(
            _TOPIC, {"full": True, "allow": dict.fromkeys(_WANTED, 1)}, streaming=True
        )

    def next_events(self, timeout: float) -> list[WorkloadEvent]:
        """See ports.Journal."""
        deadline = time.monotonic() + timeout
        while True:
            left = max(0.0, deadline - time.monotonic())
            responses = self._connection.receive(left, _BATCH)
            events = [event for r in responses for event in self._events(r)]
            if events or not responses:
                return events

    def _events(self, response: Response) -> Iterator[WorkloadEvent]:
        if response.error:
            words = f"the journal of Flux at {self._connection.where} ended: {response.text}"
            if response.refusal:
                raise Fatal(f"{words}. Run the agent as the owner of the instance")
            raise WorkloadUnavailable(words)
        return self._reader.read(json.loads(response.text), time.time())

    def close(self) -> None:
        """End the stream."""
        self._connection.close()
