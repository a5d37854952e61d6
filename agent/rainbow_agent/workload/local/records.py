"""ports.Records over the local workload manager's folder; also while no server runs there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from os import SEEK_END
from pathlib import Path
from typing import Any, Final

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.workload_values import OutputPiece, OutputTail, TaskEvent
from rainbow_agent.runtime.stop import Stop
from rainbow_agent.workload.local.server.folder import JOURNAL

_STREAMS: Final = (("out", "stdout"), ("err", "stderr"))
_CHUNK: Final = 1 << 20
#: Seconds between looks at files that grow.
_POLL_INTERVAL_S: Final = 0.1
#: What of an entry is not its context.
_FRAME: Final = frozenset({"event", "id", "time", "key"})


class LocalRecords:
    """Reads the journal and the files of output, which only the server writes.

    Args:
        folder: the server's.
        stop: ends a follow.
    """

    def __init__(self, folder: Path, stop: Stop | None = None) -> None:
        self._folder = folder
        self._stop = stop if stop is not None else Stop()

    def eventlog(self, flux_id: int) -> list[TaskEvent]:
        """See ports.Records."""
        return [
            TaskEvent(
                float(entry["time"]),
                str(entry["event"]),
                {name: value for name, value in entry.items() if name not in _FRAME},
            )
            for entry in self._entries(flux_id)
        ]

    def expected_start(self, flux_id: int) -> float | None:  # noqa: ARG002 - as said
        """See ports.Records: nothing is expected."""
        return None

    def queue(self, flux_id: int) -> str:  # noqa: ARG002 - it has no queues
        """See ports.Records."""
        return ""

    def complaints(self, flux_id: int) -> list[TaskEvent]:  # noqa: ARG002 - it starts them itself
        """See ports.Records."""
        return []

    def output(self, flux_ids: Sequence[int], *, follow: bool) -> Iterator[OutputPiece]:
        """See ports.Records."""
        read: dict[Path, int] = {}
        open_jobs = list(flux_ids)
        while True:
            over = {n for n in open_jobs if self._is_over(n)} if follow else set(open_jobs)
            # Looked at after `over` was: what a job wrote before its end is not missed.
            for flux_id in open_jobs:
                yield from self._more(flux_id, read)
            open_jobs = [n for n in open_jobs if n not in over]
            if not open_jobs or self._stop.wait(_POLL_INTERVAL_S):
                return

    def tail(self, flux_id: int, size: int) -> OutputTail:
        """See ports.Records. Each stream has a file of its own: half of the size is for each."""
        pieces, cut = [], False
        for end, stream in _STREAMS:
            path = self._folder / "output" / f"{flux_id}.{end}"
            try:
                with path.open("rb") as file:
                    start = max(0, file.seek(0, SEEK_END) - size // 2)
                    file.seek(start)
                    data = file.read(size // 2)
            except FileNotFoundError:
                continue  # it has not started
            except OSError as exc:
                raise WorkloadUnavailable(f"output {path}: {exc.strerror}") from exc
            cut = cut or start > 0
            if data:
                pieces.append(OutputPiece(flux_id, stream, data))
        return OutputTail(pieces, cut)

    def running_on(self, rank: int) -> list[int]:
        """See ports.Records. There is one node, with rank 0."""
        running: dict[int, None] = {}
        for entry in self._entries() if rank == 0 else ():
            if entry.get("event") == "start":
                running[int(entry["id"])] = None
            elif entry.get("event") in ("finish", "clean"):
                running.pop(int(entry["id"]), None)
        return list(running)

    def close(self) -> None:
        """Nothing is open."""

    def _more(self, flux_id: int, read: dict[Path, int]) -> Iterator[OutputPiece]:
        for end, stream in _STREAMS:
            path = self._folder / "output" / f"{flux_id}.{end}"
            try:
                with path.open("rb") as file:
                    file.seek(read.get(path, 0))
                    while data := file.read(_CHUNK):
                        read[path] = file.tell()
                        yield OutputPiece(flux_id, stream, data)
            except FileNotFoundError:
                continue  # it has not started
            except OSError as exc:
                raise WorkloadUnavailable(f"output {path}: {exc.strerror}") from exc

    def _is_over(self, flux_id: int) -> bool:
        return any(entry["event"] == "clean" for entry in self._entries(flux_id))

    def _entries(self, flux_id: int | None = None) -> Iterator[dict[str, Any]]:
        """The journal's public lines, of one job or all; one half written is not there yet."""
        mark = b"" if flux_id is None else f'"id":{flux_id},'.encode()
        path = self._folder / JOURNAL
        try:
            with path.open("rb") as file:
                for line in file:
                    if line.startswith(b'{"event"') and mark in line.replace(b'": ', b'":'):
                        entry = _decoded(line)
                        if flux_id is None or entry.get("id") == flux_id:
                            yield entry
        except FileNotFoundError:
            return
        except OSError as exc:
            raise WorkloadUnavailable(f"journal {path}: {exc.strerror}") from exc


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}
