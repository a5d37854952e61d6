"""ports.Records over Flux: eventlogs and output that the KVS keeps (RFC 18, RFC 21, RFC 24).

By the RPCs of the module job-info, `job-info.lookup` and `job-info.eventlog-watch`, which 0.62
has. Output is the eventlog `guest.output`: `data` events with text, or base64 where it is none.
"""

from __future__ import annotations

import base64
import errno
import json
import math
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from rainbow_agent.core.errors import Rejected, WorkloadUnavailable
from rainbow_agent.core.workload_values import OutputPiece, OutputTail, TaskEvent
from rainbow_agent.runtime.stop import Deadline, Stop
from rainbow_agent.workload.flux import bindings
from rainbow_agent.workload.flux.connection import Connection
from rainbow_agent.workload.flux.group_log import EVENTLOG_WATCH, WAIT_CREATE
from rainbow_agent.workload.flux.resources import codecs

_OUTPUT: Final = "guest.output"
#: Levels of the job shell's messages, as syslog's: errors and warnings, and what is worse.
_WARNING: Final = 4
#: Seconds until a question about one job is given up.
_ANSWER_TIMEOUT_S: Final = 10.0
#: Seconds until the end of an output is given up, and of silence after which nothing follows now.
_TAIL_TIMEOUT_S: Final = 3.0
_QUIET_S: Final = 0.2
#: Seconds that one wait for events may take, and until the output of a job that ended has to end.
_POLL_S: Final = 0.5
_OUTPUT_ENDS_S: Final = 2.0
#: The end of an eventlog; a job that never wrote; a job that Flux does not know.
_OVER: Final = frozenset({errno.ENODATA, errno.ENOENT, errno.ESRCH})


class FluxRecords:
    """A connection of its own to what Flux keeps.

    Args:
        uri: a Flux URI; None for Flux's own default.
        stop: ends a follow and shortens waits.
    """

    def __init__(self, uri: str | None, stop: Stop | None = None) -> None:
        self._stop = stop
        self._connection = Connection(uri, stop)

    def eventlog(self, flux_id: int) -> list[TaskEvent]:
        """See ports.Records."""
        return [
            TaskEvent(float(entry["timestamp"]), str(entry["name"]), entry.get("context") or {})
            for entry in _entries(self._look_up(flux_id, "eventlog"))
        ]

    def expected_start(self, flux_id: int) -> float | None:
        """See ports.Records; Fluxion's policies `easy` and `conservative` say so (RFC 27)."""
        question = {"id": flux_id, "attrs": ["annotations"]}
        number = self._connection.request("job-list.list-id", question)
        answer = self._connection.answer(number, _ANSWER_TIMEOUT_S)
        if answer is None or answer.error:
            return None
        found: Any = json.loads(answer.text)
        for name in ("job", "annotations", "sched", "t_estimate"):
            found = found.get(name) if isinstance(found, Mapping) else None
        return float(found) if isinstance(found, int | float) and found > 0 else None

    def queue(self, flux_id: int) -> str:
        """See ports.Records."""
        text = self._look_up(flux_id, "jobspec")
        found: Any = json.loads(text) if text else {}
        for name in ("attributes", "system", "queue"):
            found = found.get(name) if isinstance(found, Mapping) else None
        for event in self.eventlog(flux_id):  # RFC 21: updates by attribute
            if event.name == "jobspec-update":
                found = event.context.get("attributes.system.queue", found)
        return found if isinstance(found, str) else ""

    def complaints(self, flux_id: int) -> list[TaskEvent]:
        """See ports.Records."""
        return [
            TaskEvent(float(entry["timestamp"]), "shell", {"message": text})
            for entry in _entries(self._look_up(flux_id, _OUTPUT))
            if (text := _complaint(entry))
        ]

    def output(self, flux_ids: Sequence[int], *, follow: bool) -> Iterator[OutputPiece]:
        """See ports.Records."""
        if follow:
            yield from self._follow(flux_ids)
            return
        for flux_id in flux_ids:
            for entry in _entries(self._look_up(flux_id, _OUTPUT)):
                yield from _piece(flux_id, entry)

    def tail(self, flux_id: int, size: int) -> OutputTail:
        """See ports.Records.

        Flux has no call for the end of an eventlog, and none for its length: all of it is read,
        event by event, and what is too old is dropped at once.
        """
        names = {event.name for event in self.eventlog(flux_id)}
        if "start" not in names:
            return OutputTail([], cut=False)  # a watch would wait until it starts
        runs = "clean" not in names
        self._connection.request(
            EVENTLOG_WATCH,
            {"id": flux_id, "path": _OUTPUT, "flags": 0},
            streaming=True,
        )
        deadline = Deadline(_TAIL_TIMEOUT_S, self._stop)
        kept, heard = _Kept(size), False
        while deadline.left() > 0:
            answers = self._connection.receive(_QUIET_S if heard else deadline.poll_interval())
            if heard and runs and not answers:
                return kept.tail()  # what it wrote so far; of one that is over, the end is said
            for answer in answers:
                heard = True
                if answer.error in _OVER:
                    return kept.tail()
                if answer.error:
                    raise WorkloadUnavailable(f"Flux does not show the output: {answer.text}")
                for piece in _piece(flux_id, json.loads(json.loads(answer.text)["event"])):
                    kept.add(piece)
        raise WorkloadUnavailable(
            f"Flux at {self._connection.where} needs more than {_TAIL_TIMEOUT_S:.0f} s to show"
            " the output"
        )

    def running_on(self, rank: int) -> list[int]:
        """See ports.Records."""
        question = {
            "max_entries": 0,
            "since": 0.0,
            "attrs": ["ranks"],
            "constraint": {"states": ["running"]},
        }
        answer = self._connection.call("job-list.list", question, timeout=_ANSWER_TIMEOUT_S)
        decode = codecs(bindings.load()).idset
        return [int(job["id"]) for job in answer["jobs"] if rank in decode(job.get("ranks", ""))]

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

    def _look_up(self, flux_id: int, key: str) -> str:
        """An eventlog's text; "" where there is none."""
        question = {"id": flux_id, "keys": [key], "flags": 0}
        number = self._connection.request("job-info.lookup", question)
        answer = self._connection.answer(number, _ANSWER_TIMEOUT_S)
        if answer is None:
            raise WorkloadUnavailable(f"Flux at {self._connection.where} does not answer")
        if answer.error in _OVER:
            return ""
        if answer.error:
            raise WorkloadUnavailable(
                f"Flux at {self._connection.where} cannot show {key}: {answer.text}"
            )
        return str(json.loads(answer.text).get(key, ""))

    def _follow(self, flux_ids: Sequence[int]) -> Iterator[OutputPiece]:
        outputs = {self._watch(flux_id, _OUTPUT): flux_id for flux_id in flux_ids}
        # When a job ends while Flux begins to watch its output, that watch may never end, or end
        # with nothing: then the job's own end decides, and the output is read as a whole.
        ends = {self._watch(flux_id, "eventlog"): flux_id for flux_id in flux_ids}
        seen = dict.fromkeys(flux_ids, 0)
        over: dict[int, float] = {}  # jobs that ended, and when the watch of their output has to
        while outputs and not (self._stop is not None and self._stop.is_set()):
            for answer in self._connection.receive(_POLL_S):
                if answer.error and (ended := ends.pop(answer.request, None)) is not None:
                    over[ended] = time.monotonic() + _OUTPUT_ENDS_S
                flux_id = outputs.get(answer.request)
                if flux_id is None:
                    continue
                if not answer.error:
                    seen[flux_id] += 1
                    yield from _piece(flux_id, json.loads(json.loads(answer.text)["event"]))
                    continue
                if answer.error not in _OVER:
                    raise Rejected(f"Flux does not show the output: {answer.text}")
                del outputs[answer.request]
                if answer.error != errno.ENODATA or not seen[flux_id]:
                    yield from self._rest(flux_id, seen[flux_id])
            for number, flux_id in list(outputs.items()):
                if time.monotonic() > over.get(flux_id, math.inf):
                    del outputs[number]
                    yield from self._rest(flux_id, seen[flux_id])

    def _watch(self, flux_id: int, path: str) -> int:
        """Ask for an eventlog's events as they come; the number of the request."""
        question = {"id": flux_id, "path": path, "flags": WAIT_CREATE}
        return self._connection.request(EVENTLOG_WATCH, question, streaming=True)

    def _rest(self, flux_id: int, seen: int) -> Iterator[OutputPiece]:
        """The output of a job that is over, without its first events."""
        for entry in list(_entries(self._look_up(flux_id, _OUTPUT)))[seen:]:
            yield from _piece(flux_id, entry)


class _Kept:
    """The newest pieces, as few as have `size` bytes."""

    def __init__(self, size: int) -> None:
        self._size, self._held, self._cut = size, 0, False
        self._pieces: deque[OutputPiece] = deque()

    def add(self, piece: OutputPiece) -> None:
        """One more; the oldest goes when it is not needed."""
        self._pieces.append(piece)
        self._held += len(piece.data)
        while self._held - len(self._pieces[0].data) >= self._size:
            self._held -= len(self._pieces.popleft().data)
            self._cut = True

    def tail(self) -> OutputTail:
        """What is left."""
        return OutputTail(list(self._pieces), self._cut)


def _entries(text: str) -> Iterator[Mapping[str, Any]]:
    return (json.loads(line) for line in text.splitlines() if line.strip())


def _complaint(entry: Mapping[str, Any]) -> str:
    """What a `log` event of the job shell says; "" for others, and for what is no trouble."""
    context: Mapping[str, Any] = entry.get("context") or {}
    if entry.get("name") != "log" or int(context.get("level", _WARNING + 1)) > _WARNING:
        return ""
    return str(context.get("message", "")).strip()


def _piece(flux_id: int, entry: Mapping[str, Any]) -> Iterator[OutputPiece]:
    """What a `data` event holds; what the shell complains of, and where output went otherwise."""
    context: Mapping[str, Any] = entry.get("context") or {}
    if complaint := _complaint(entry):
        text = f"[job shell: {complaint}]\n"
        yield OutputPiece(flux_id, "stderr", text.encode(), str(context.get("rank", "0")))
    if entry.get("name") == "redirect":
        text = f"[its {context.get('stream')} went to {context.get('path')}]\n"
        yield OutputPiece(flux_id, "stderr", text.encode(), str(context.get("rank", "0")))
    if entry.get("name") != "data" or "data" not in context:
        return
    text = str(context["data"])
    data = base64.b64decode(text) if context.get("encoding") == "base64" else text.encode()
    data *= int(context.get("repeat", 1))
    yield OutputPiece(flux_id, str(context.get("stream")), data, str(context.get("rank", "0")))
