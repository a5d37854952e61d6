"""Flux's job manager journal: all history, then what happens, over `job-manager.events-journal`.

The streaming RPC itself, not flux.job.JournalConsumer, which came with flux-core 0.68. Every
response has a job id and events (RFC 18, RFC 21). In the backlog it has all events of one job and
its jobspec; live it has one event, and the jobspec comes with `submit`, in 0.62 with `validate`.
"""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rainbow_agent.core.errors import Fatal, WorkloadUnavailable
from rainbow_agent.core.model import Origin, TaskKey
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.workload.flux.connection import Connection, Reply
from rainbow_agent.workload.flux.group_log import FluxInside

_TOPIC = "job-manager.events-journal"
_WANTED = ("submit", "validate", "invalidate", "start", "finish", "exception", "clean")
_CAUGHT_UP_ID = -1
#: Events in one batch, so that a long history does not have to fit into memory at once.
_BATCH = 1000


class JournalReader:
    """Turns responses into events. Pure: it holds only submissions that are not yet valid.

    A SUBMIT comes out when the job manager has validated the job: one that it turns down
    (`invalidate`) never was a job, and must not look like one. A job of another user of the
    instance is none of ours, whatever it says of itself.
    """

    def __init__(self) -> None:
        self._user = os.getuid()  # the instance's owner, or it would not be ours to use
        self._submitted: dict[int, tuple[float, Any, bool]] = {}  # when, its mark, whether ours

    def read(self, answer: Mapping[str, Any], now: float) -> Iterator[WorkloadEvent]:
        """The events in one response; `now` is the time of CAUGHT_UP, in epoch seconds."""
        flux_id = answer["id"]
        if flux_id == _CAUGHT_UP_ID:
            yield WorkloadEvent(EventKind.CAUGHT_UP, 0, now)
            return
        mark = _mark(answer.get("jobspec"))
        for entry in answer["events"]:
            event = self._event(flux_id, entry, mark)
            if event:
                yield event

    def _event(self, flux_id: int, entry: Mapping[str, Any], mark: Any) -> WorkloadEvent | None:
        name, at = entry["name"], entry["timestamp"]
        context = entry.get("context") or {}
        if name == "submit":
            ours = context.get("userid", self._user) == self._user
            self._submitted[flux_id] = (at, mark, ours)
        elif name == "validate":
            at, early, ours = self._submitted.pop(flux_id, (at, None, True))
            return _submit(flux_id, at, (early or mark) if ours else None)
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
                unsatisfiable=_is_unsatisfiable(context),
                denied=_is_denied(context),
            )
        elif name in ("start", "clean"):
            return WorkloadEvent(EventKind(name), flux_id, at)
        return None


def _is_unsatisfiable(context: Mapping[str, Any]) -> bool:
    """Whether an exception says that nothing here can ever run the job.

    sched-simple (0.62 to 0.88): "unsatisfiable request...", and up to 0.83 that it does not
    support GPUs; Fluxion: type="unsatisfiable".
    """
    note = str(context.get("note"))
    words = ("unsatisfiable", "resource type 'gpu'")
    return context.get("type") == "alloc" and any(each in note for each in words)


def _is_denied(context: Mapping[str, Any]) -> bool:
    """Whether that may be said for nodes that are down or drained: Fluxion does not count those."""
    return _is_unsatisfiable(context) and "denied due to type=" in str(context.get("note"))


def _submit(flux_id: int, at: float, mark: Any) -> WorkloadEvent:
    key, origin = TaskKey.from_attribute(mark), Origin.from_attribute(mark)
    group = isinstance(mark, Mapping) and mark.get("group") is True
    return WorkloadEvent(EventKind.SUBMIT, flux_id, at, key=key, origin=origin, group=group)


def _mark(jobspec: Any) -> Any:
    """What the dispatcher wrote into a job of ours: its key, and whether it is a group."""
    for name in ("attributes", "user", "rainbow"):
        jobspec = jobspec.get(name) if isinstance(jobspec, Mapping) else None
    return jobspec


class FluxJournal:
    """The journal, on a connection of its own (ports.Journal).

    Args:
        connection: an open connection, which the journal then owns.
        follow: see ports.Workload.open_journal.
    """

    def __init__(
        self, connection: Connection, follow: Callable[[TaskKey], bool] | None = None
    ) -> None:
        self._connection = connection
        self._reader = JournalReader()
        self._inside = FluxInside(connection, follow) if follow else None
        self._ended: WorkloadUnavailable | None = None  # what the next call has to say
        self._number = connection.request(
            _TOPIC, {"full": True, "allow": dict.fromkeys(_WANTED, 1)}, streaming=True
        )

    def next_events(self, timeout: float) -> list[WorkloadEvent]:
        """See ports.Journal."""
        deadline = time.monotonic() + timeout
        while True:
            if self._ended is not None:
                raise self._ended
            left = max(0.0, deadline - time.monotonic())
            responses = self._connection.receive(left, _BATCH)
            events: list[WorkloadEvent] = []
            try:
                for response in responses:
                    events.extend(self._events(response))
            except WorkloadUnavailable as exc:
                self._ended = exc
            if events or not responses:
                return events

    def _events(self, response: Reply) -> Iterator[WorkloadEvent]:
        if response.request != self._number:
            if self._inside is not None:
                yield from self._inside.read(response)
            return
        if response.error:
            words = f"the journal of Flux at {self._connection.where} ended: {response.text}"
            if response.error in (errno.EPERM, errno.EACCES):
                raise Fatal(f"{words}. Run the agent as the owner of the instance")
            raise WorkloadUnavailable(words)
        for event in self._reader.read(json.loads(response.text), time.time()):
            if self._inside is None or not self._inside.keeps(event):
                yield event
        if self._inside is not None:
            self._inside.watch()

    def close(self) -> None:
        """End the stream."""
        self._connection.close()
