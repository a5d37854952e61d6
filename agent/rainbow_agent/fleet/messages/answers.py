"""What a cluster's agent answers to the sender of a job: its story, its output, its results.

Made by the messenger's thread, which may wait for the workload manager.
"""

from __future__ import annotations

import base64
import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, Final

from rainbow_agent.core.errors import RainbowAgentError
from rainbow_agent.core.handles import Handle
from rainbow_agent.core.model import JobKey, JobRow
from rainbow_agent.core.ports import Clock
from rainbow_agent.core.states import FINAL_TASK_STATES
from rainbow_agent.core.workload_values import OutputPiece
from rainbow_agent.fleet.messages import results
from rainbow_agent.fleet.messages.keys import SenderKeys, seal
from rainbow_agent.monitoring.explain import explain_view, history_of
from rainbow_agent.monitoring.fleet_views import cluster_view
from rainbow_agent.monitoring.records import add_events, records_of
from rainbow_agent.monitoring.status_sources import look
from rainbow_agent.runtime.settings import Settings
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.storage.ledger import SqliteLedger

#: Makes an answer: the job, what is asked; a JSON object comes out.
Answer = Callable[[JobKey, Mapping[str, Any]], dict[str, Any]]
#: Bytes of output in one answer, the newest of what was not read yet.
MAX_OUTPUT_BYTES: Final = 1024 * 1024
#: Seconds that the workload manager gets to say what tasks wrote.
OUTPUT_WAIT_S: Final = 20.0
#: Seconds that the file system gets.
RESULTS_WAIT_S: Final = 20.0
_NUMBER_BYTES: Final = 8
_HEAD_BYTES: Final = 2 * _NUMBER_BYTES

#: Who wrote: the job's id in the workload manager, the stream, the rank.
Source = tuple[int, str, str]


def source_name(source: Source) -> str:
    """As a key of a JSON object."""
    return "/".join(map(str, source))


def seal_answer(handle: Handle, counter: int, turn: int, content: bytes) -> bytes:
    """An answer's body: which question it is to, its turn, and what only the sender can read."""
    head = counter.to_bytes(_NUMBER_BYTES, "big") + turn.to_bytes(_NUMBER_BYTES, "big")
    return head + seal(handle.seal, content, head + handle.id.encode())


def counter_of(body: bytes) -> int:
    """Which question an answer is to."""
    return int.from_bytes(body[:_NUMBER_BYTES], "big") & (2**63 - 1)


def turn_of(body: bytes) -> int:
    """The answer's turn: as of a state, a time at the cluster in milliseconds."""
    return int.from_bytes(body[_NUMBER_BYTES:_HEAD_BYTES], "big") & (2**63 - 1)


def open_answer(keys: SenderKeys, handle: str, body: bytes) -> bytes:
    """What was answered.

    Raises:
        ValueError: it is not for these keys, or was changed.
    """
    head = body[:_HEAD_BYTES]
    return keys.open(body[_HEAD_BYTES:], head + handle.encode())


class Answers:
    """Makes answers.

    Args:
        settings: the daemon's.
        open_ledger: opens a connection to the ledger.
        clock: for the times.
    """

    def __init__(
        self, settings: Settings, open_ledger: Callable[[], SqliteLedger], clock: Clock
    ) -> None:
        self._settings = settings
        self._open_ledger = open_ledger
        self._clock = clock
        self._reading: threading.Thread | None = None

    def answer(self, key: JobKey, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a question that was verified; what goes wrong is `error` in it."""
        try:
            if asked.get("ask") == "cluster":
                # `live`: this process is the daemon itself.
                now = self._clock.now()
                return {"cluster": cluster_view(look(self._settings, now, live={}), now)}
            with closing(self._open_ledger()) as ledger:
                history = history_of(ledger, key)
            if history is None:
                return {"error": "the job's details were removed from the ledger"}
            if asked.get("ask") == "logs":
                return self._output(history.job, asked)
            if asked.get("ask") in ("results", "file"):
                return self._results(key, asked)
            view = explain_view(add_events(history, self._settings), self._clock.now())
        except RainbowAgentError as exc:
            return {"error": str(exc)}
        return {"view": view}

    def _results(self, key: JobKey, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Which files the job's results are, or a piece of one.

        A file system that does not answer is an error after a while, and holds nothing else up.
        """
        with closing(self._open_ledger()) as ledger:
            text = ledger.jobspecs([key]).get(key)
        if text is None:
            return {"error": "the job's jobspec was removed from the ledger"}
        if self._reading is not None and self._reading.is_alive():
            return {"error": "the file system with the results does not answer"}
        found: list[dict[str, Any]] = []
        limit = self._settings.results_max
        self._reading = threading.Thread(
            target=lambda: found.append(results.answer(text, asked, limit)),
            name="results",
            daemon=True,
        )
        self._reading.start()
        self._reading.join(RESULTS_WAIT_S)
        return found[0] if found else {"error": "the file system with the results does not answer"}

    def _output(self, job: JobRow, asked: Mapping[str, Any]) -> dict[str, Any]:
        """What tasks wrote that the sender has not read: of very much the newest, and how much not.

        Args:
            job: the job as the ledger has it.
            asked: `ids`, of the workload manager, and `seen`: bytes by source_name().
        """
        wanted = asked.get("ids")
        seen = asked.get("seen")
        if not isinstance(wanted, list) or not isinstance(seen, dict):
            return {"error": "the question is of another version"}
        tasks = [t for t in job.tasks if t.flux_id in wanted and t.group is None]
        over = all(task.state in FINAL_TASK_STATES for task in tasks)
        stop = Stop()
        timer = threading.Timer(OUTPUT_WAIT_S, stop.set, ("no answer in time",))
        timer.daemon = True
        timer.start()
        news = _News({str(k): v for k, v in seen.items() if isinstance(v, int)})
        try:
            with records_of(self._settings, stop) as records:
                ids = [task.flux_id for task in tasks if task.flux_id is not None]
                for piece in records.output(ids, follow=False):
                    news.add(piece)
        finally:
            timer.cancel()
        return {**news.content(), "over": over}


class _News:
    """Output that was not read yet, the newest of it."""

    def __init__(self, seen: dict[str, int]) -> None:
        self._seen = seen
        self._pieces: deque[OutputPiece] = deque()
        self._bytes = 0
        self._dropped: dict[str, int] = {}

    def add(self, piece: OutputPiece) -> None:
        """The next piece of a task."""
        name = source_name((piece.flux_id, piece.stream, piece.rank))
        known = min(self._seen.get(name, 0), len(piece.data))
        if known:
            self._seen[name] -= known
        data = piece.data[known:]
        if not data:
            return
        self._pieces.append(OutputPiece(piece.flux_id, piece.stream, data, piece.rank))
        self._bytes += len(data)
        while self._bytes > MAX_OUTPUT_BYTES and len(self._pieces) > 1:
            self._drop(self._pieces.popleft())
        if self._bytes > MAX_OUTPUT_BYTES:
            last = self._pieces.pop()
            kept = last.data[-MAX_OUTPUT_BYTES:]
            self._drop(OutputPiece(last.flux_id, last.stream, last.data[: -len(kept)], last.rank))
            self._pieces.append(OutputPiece(last.flux_id, last.stream, kept, last.rank))

    def _drop(self, piece: OutputPiece) -> None:
        name = source_name((piece.flux_id, piece.stream, piece.rank))
        self._dropped[name] = self._dropped.get(name, 0) + len(piece.data)
        self._bytes -= len(piece.data)

    def content(self) -> dict[str, Any]:
        """For the answer."""
        pieces = [
            [p.flux_id, p.stream, p.rank, base64.b64encode(p.data).decode()] for p in self._pieces
        ]
        return {"pieces": pieces, "dropped": self._dropped}
