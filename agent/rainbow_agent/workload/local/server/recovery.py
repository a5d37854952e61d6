"""What a journal says of the jobs in it, for a server that starts over. Pure.

A job that never started is taken up again. One that had started is over: its exit status is lost
with the server that waited for it, and running it again could do its work twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rainbow_agent.core.errors import Fatal
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.workload.local.server.journal_log import JOURNAL_FORMAT
from rainbow_agent.workload.local.server.orphans import ProcessMark
from rainbow_agent.workload.local.server.protocol import entry_event
from rainbow_agent.workload.local.server.request import JobRequest, read_jobspec


@dataclass
class _OpenJob:
    """What the entries so far say of a job that is not over."""

    jobspec: Any = None
    submitted: bool = False
    started: bool = False
    status: int | None = None
    doomed: bool = False
    processes: list[ProcessMark] = field(default_factory=list)


@dataclass(frozen=True)
class Interrupted:
    """A job that had started and not ended."""

    id: int
    processes: tuple[ProcessMark, ...]
    status: int | None  # its wait status, when only the last event is missing
    doomed: bool  # its exception is in the journal already


@dataclass(frozen=True)
class Recovered:
    """A journal, read back."""

    instance: str  # identity of the journal; empty when it is new
    last_id: int  # 0 when there is none
    pending: tuple[tuple[int, JobRequest], ...]  # never started, by id
    interrupted: tuple[Interrupted, ...]
    ended_ok: Mapping[int, bool]  # how each job that is over ended


def recover(entries: Iterable[Mapping[str, Any]]) -> Recovered:
    """Read a journal back.

    Raises:
        Fatal: a newer version of this program wrote it.
        Rejected: an entry is not what this version writes.
    """
    instance, last_id = "", 0
    open_jobs: dict[int, _OpenJob] = {}
    ended_ok: dict[int, bool] = {}
    for entry in entries:
        if "header" in entry:
            instance = _read_header(entry)
            continue
        job_id = int(entry["id"])
        last_id = max(last_id, job_id)
        seen = open_jobs.setdefault(job_id, _OpenJob())
        if "event" in entry:
            event = entry_event(entry)
            if event.kind is EventKind.CLEAN:
                ended_ok[job_id] = seen.status == 0 and not seen.doomed
                del open_jobs[job_id]
            else:
                _note(seen, event)
        elif "process" in entry:
            seen.processes.append(ProcessMark.from_entry(entry))
        else:
            seen.jobspec = entry["jobspec"]
    known = {job_id: seen for job_id, seen in sorted(open_jobs.items()) if seen.submitted}
    return Recovered(
        instance,
        last_id,
        tuple((i, read_jobspec(seen.jobspec)) for i, seen in known.items() if not seen.started),
        tuple(
            Interrupted(i, tuple(seen.processes), seen.status, seen.doomed)
            for i, seen in known.items()
            if seen.started
        ),
        ended_ok,
    )


def _read_header(entry: Mapping[str, Any]) -> str:
    if entry["header"] != JOURNAL_FORMAT:
        raise Fatal(
            f"the local workload manager's journal has format {entry['header']}, this program"
            f" knows {JOURNAL_FORMAT}; use the version of rainbow-agent that wrote it"
        )
    return str(entry["instance"])


def _note(seen: _OpenJob, event: WorkloadEvent) -> None:
    if event.kind is EventKind.SUBMIT:
        seen.submitted = True
    elif event.kind is EventKind.START:
        seen.started = True
    elif event.kind is EventKind.FINISH:
        seen.status = event.status
    elif event.kind is EventKind.EXCEPTION and event.severity == 0:
        seen.doomed = True
