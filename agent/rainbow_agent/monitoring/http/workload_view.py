"""What the workload manager is asked for the page: the end of an output, who runs on a node.

One question at a time, each with a limit: a workload manager that hangs keeps one thread that makes
pages, and not all of them.
"""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.model import JobRow, TaskRow
from rainbow_agent.core.ports import Records
from rainbow_agent.core.workload_values import OutputPiece
from rainbow_agent.monitoring.http.messages import NotFoundError
from rainbow_agent.monitoring.remedies import culprit
from rainbow_agent.runtime.stop import Stop

#: Bytes of an output that are shown.
OUTPUT_TAIL_BYTES: Final = 16 * 1024
#: Seconds for an answer, and for the turn to ask.
ANSWER_LIMIT_S: Final = 4.0
TURN_LIMIT_S: Final = 2.0


class WorkloadView:
    """Asks the workload manager; from any thread.

    Args:
        open_records: a connection to what it keeps, whose waits a Stop shortens.
    """

    def __init__(self, open_records: Callable[[Stop], Records]) -> None:
        self._open = open_records
        self._turn = threading.Lock()

    def running_on(self, rank: int) -> list[int]:
        """Ids of the jobs that run on a node now.

        Raises:
            WorkloadUnavailable: it does not answer.
        """
        with self._records() as records:
            return records.running_on(rank)

    def output(self, job: JobRow, name: str) -> dict[str, Any]:
        """The `/api/jobs/REGISTRATION/ID/output` object (docs/monitoring/README.md).

        Args:
            job: whose.
            name: of a task, or of one replica as `name[2]`; "" for the one that says most: the
                task that is to blame, or the last that started.

        Raises:
            NotFoundError: it has no such task.
            WorkloadUnavailable: the workload manager does not answer.
        """
        task = _chosen(job, name)
        words = ["rainbow-agent", "logs", str(job.key.id)]
        if task is None:
            return _view("", shlex.join(words), note="no task of it has started")
        command = shlex.join([*words, task.key.label])
        if task.group is not None:
            note = f"what it wrote is in the output of {task.group}, if anything was kept of it"
            return _view(task.key.label, command, note=note)
        if task.flux_id is None:
            return _view(task.key.label, command, note=f"it is {task.state.value}")
        with self._records() as records:
            tail = records.tail(task.flux_id, OUTPUT_TAIL_BYTES)
        note = "" if tail.pieces else "it has written nothing"
        return {
            **_view(task.key.label, command, note=note),
            "pieces": _joined(list(tail.pieces)),
            "cut": tail.cut,
        }

    @contextmanager
    def _records(self) -> Iterator[Records]:
        if not self._turn.acquire(timeout=TURN_LIMIT_S):
            raise WorkloadUnavailable("the workload manager is being asked, and does not answer")
        stop = Stop(grace=1.0)
        timer = threading.Timer(ANSWER_LIMIT_S, stop.set, ("no answer in time",))
        timer.daemon = True
        try:
            timer.start()
            records = self._open(stop)
            try:
                yield records
            finally:
                records.close()
        finally:
            timer.cancel()
            self._turn.release()


def _chosen(job: JobRow, name: str) -> TaskRow | None:
    if name:
        found = next((t for t in job.tasks if name in (t.key.label, t.key.task)), None)
        if found is None:
            raise NotFoundError(f"job {job.key.id} has no task {name[:100]!r}")
        return found
    started = [task for task in job.tasks if task.started is not None and task.group is None]
    blamed = culprit(job)
    if blamed in started:
        return blamed
    return max(started, key=lambda task: (task.started or 0.0, task.position), default=None)


def _view(task: str, command: str, *, note: str) -> dict[str, Any]:
    return {"task": task, "command": command, "pieces": [], "cut": False, "note": note or None}


def _joined(pieces: list[OutputPiece]) -> list[dict[str, str]]:
    """Text, with neighbours of one stream in one piece."""
    found: list[tuple[str, bytearray]] = []
    for piece in pieces:
        if not found or found[-1][0] != piece.stream:
            found.append((piece.stream, bytearray()))
        found[-1][1].extend(piece.data)
    return [{"stream": name, "text": data.decode(errors="replace")} for name, data in found]
