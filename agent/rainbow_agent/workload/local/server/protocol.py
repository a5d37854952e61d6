"""What client and server say to each other: one JSON object a line, in both directions.

A request is `{"id": N, "op": OP, ...}`; its answer `{"id": N, "result": {...}}` or
`{"id": N, "refused": WORDS}`. Answers may come in another order than the requests. After `journal`
the server sends events on that connection, `{"event": KIND, "id": JOB, "time": EPOCH, ...}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any

from rainbow_agent.core.errors import Rejected
from rainbow_agent.core.model import Origin, TaskKey
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent

#: Both ends must speak the same; raised with every change that an older end would misread.
PROTOCOL_VERSION = 1
#: Bytes in one line. Flux's own limit is about the same: a jobspec travels in one message.
LINE_LIMIT = 16 * 1024 * 1024


class Op(str, Enum):
    """Requests, with their fields and what their result holds."""

    HELLO = "hello"  # {} -> {version, pid, instance}
    SUBMIT = "submit"  # {jobspec} -> {job}
    CANCEL = "cancel"  # {jobs, note} -> {}
    RESOURCES = "resources"  # {} -> {host, cores, cores_free}
    SETTLE = "settle"  # {} -> {}, when no connection that was hung up has requests left
    JOURNAL = "journal"  # {} -> {}, then events: history, caught-up, live
    SHUTDOWN = "shutdown"  # {kill} -> {}; refused when jobs run and kill is false


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as a line.

    Raises:
        Rejected: it cannot be written as JSON, or is longer than LINE_LIMIT.
    """
    try:
        line = json.dumps(message, separators=(",", ":"), allow_nan=False).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as exc:
        raise Rejected(f"the jobspec cannot be written as JSON: {exc}") from exc
    if len(line) > LINE_LIMIT:
        raise Rejected(
            f"the jobspec is {len(line)} bytes long; the local workload manager takes at most"
            f" {LINE_LIMIT}"
        )
    return line


def decode(line: bytes) -> dict[str, Any]:
    """The message in a line.

    Raises:
        Rejected: it is not a JSON object.
    """
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise Rejected(f"not a message of the local workload manager: {exc}") from exc
    if not isinstance(message, dict):
        raise Rejected("not a message of the local workload manager: expected a JSON object")
    return message


class LineSplitter:
    """Cuts a stream of bytes into lines."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are complete now, without their newlines.

        Raises:
            Rejected: a line is longer than LINE_LIMIT.
        """
        if b"\n" not in data:
            self._rest += data
            self._check()
            return []
        lines = (bytes(self._rest) + data).split(b"\n")
        self._rest = bytearray(lines.pop())
        self._check()
        return lines

    def _check(self) -> None:
        if len(self._rest) > LINE_LIMIT:
            raise Rejected(f"a message is longer than {LINE_LIMIT} bytes")


def event_entry(event: WorkloadEvent) -> dict[str, Any]:
    """An event as it stands in the journal and goes to clients. `event` comes first."""
    entry: dict[str, Any] = {"event": event.kind.value, "id": event.flux_id, "time": event.time}
    if event.kind is EventKind.SUBMIT and event.key is not None:
        entry["key"] = event.key.to_attribute()
        if event.group:
            entry["group"] = True
        if event.origin is not None:
            entry["key"]["origin"] = event.origin.to_attribute()
    elif event.kind is EventKind.FINISH:
        entry["status"] = event.status
    elif event.kind is EventKind.EXCEPTION:
        entry |= {"type": event.exception, "severity": event.severity, "note": event.note}
    return entry


def entry_event(entry: Mapping[str, Any]) -> WorkloadEvent:
    """The counterpart of event_entry().

    Raises:
        Rejected: it is not an event.
    """
    try:
        status = entry.get("status")
        return WorkloadEvent(
            EventKind(entry["event"]),
            int(entry["id"]),
            float(entry["time"]),
            key=TaskKey.from_attribute(entry.get("key")),
            group=entry.get("group") is True,
            origin=Origin.from_attribute(entry.get("key")),
            status=None if status is None else int(status),
            exception=str(entry.get("type", "")),
            severity=int(entry.get("severity", 0)),
            note=str(entry.get("note", "")),
            unsatisfiable=entry.get("type") == "alloc" and "unsatisfiable" in str(entry["note"]),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise Rejected(f"not an event of the local workload manager: {exc!r}") from exc
