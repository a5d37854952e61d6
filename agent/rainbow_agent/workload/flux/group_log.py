"""The insides of groups in Flux's journal: what their runners wrote into the jobs' own KVS.

A runner appends to `rainbow.eventlog` in its job's guest namespace, which Flux keeps with the job
when that ends (flux_job_kvs_guest_key(3), RFC 16); `job-info.eventlog-watch` reads it as it grows
and to its end, whether the job runs or is over (flux_job_event_watch(3), since flux-core 0.16).
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable, Iterator

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.group_events import EVENTLOG
from rainbow_agent.core.model import TaskKey
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.workload.flux.connection import ANSWER_SECONDS, Connection, Reply

log = logging.getLogger(__name__)

EVENTLOG_WATCH = "job-info.eventlog-watch"
#: FLUX_JOB_EVENT_WATCH_WAITCREATE (flux-core src/common/libjob/job.h): wait for the first event.
WAIT_CREATE = 1
#: How the stream ends: at the log's end; or there is none, as the runner never wrote.
_ENDS = frozenset({errno.ENODATA, errno.ENOENT})


class FluxInside:
    """Follows the insides of groups on the journal's connection.

    Args:
        connection: the journal's.
        follow: asked of each group that starts: whether to follow it.
    """

    def __init__(self, connection: Connection, follow: Callable[[TaskKey], bool]) -> None:
        self._connection = connection
        self._follow = follow
        self._groups: dict[int, TaskKey] = {}  # that have not started, as far as was read
        self._streams: dict[int, int] = {}  # request -> group
        #: Groups that are followed; the events of each that wait for those of its tasks.
        self._kept: dict[int, list[WorkloadEvent]] = {}

    def keeps(self, event: WorkloadEvent) -> bool:
        """Look at an event of the journal; True: it comes later, after the group's inside."""
        job = event.flux_id
        if event.kind is EventKind.SUBMIT and event.group and event.key is not None:
            self._groups[job] = event.key
        elif event.kind is EventKind.START:
            key = self._groups.pop(job, None)
            if key is not None and self._follow(key):
                payload = {"id": job, "path": f"guest.{EVENTLOG}", "flags": WAIT_CREATE}
                number = self._connection.request(EVENTLOG_WATCH, payload, streaming=True)
                self._streams[number], self._kept[job] = job, []
        elif event.kind is EventKind.CLEAN:
            self._groups.pop(job, None)
            if job in self._kept:
                self._kept[job].append(event)
                return True
        return False

    def read(self, response: Reply) -> Iterator[WorkloadEvent]:
        """What a response means that is none of the journal's own."""
        job = self._streams.get(response.request)
        if job is None:
            return
        if response.error:
            if response.error not in _ENDS:
                log.warning(
                    "The inside of group %d cannot be followed: %s",
                    job,
                    response.text,
                    extra={"action": "group_unread", "flux_id": job},
                )
            del self._streams[response.request]
            yield from self._kept.pop(job)
            return
        for line in json.loads(response.text)["event"].splitlines():
            event = _event(job, line)
            if event is not None:
                yield event


def _event(job: int, line: str) -> WorkloadEvent | None:
    """What a line of the log says; None where it says nothing.

    Whatever runs in the group may write there, too.
    """
    try:
        entry = json.loads(line)
        return WorkloadEvent(EventKind.INSIDE, job, float(entry["timestamp"]), news=entry)
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        log.warning(
            "A line in the log of group %d is not an event of its runner",
            job,
            extra={"flux_id": job},
        )
        return None


def to_job(around: str, job: int) -> Callable[[str], None]:
    """A writer that appends to the log of a job, in that job's own namespace.

    Args:
        around: the URI of the instance that the job is in.
        job: its id there.

    Raises:
        WorkloadUnavailable: the instance cannot be reached.
    """
    connection = Connection(around)
    namespace = f"job-{job}"  # flux_job_kvs_namespace(3)

    def write(text: str) -> None:
        number = connection.append(namespace, EVENTLOG, text)
        answer = connection.answer(number, ANSWER_SECONDS)
        if answer is None or answer.error:
            words = answer.text if answer else f"no answer within {ANSWER_SECONDS:.0f} s"
            raise WorkloadUnavailable(f"Flux at {around} takes no news of a group: {words}")

    return write
