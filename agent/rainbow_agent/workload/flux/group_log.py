"""The insides of groups in Flux's journal: what their runners wrote into the jobs' own KVS.

A runner appends to `rainbow.eventlog` in its job's guest namespace, which Flux keeps with the job
when that ends (flux_job_kvs_guest_key(3), RFC 16); `job-info.eventlog-watch` reads it as it grows
and to its end (flux_job_event_watch(3), since flux-core 0.16). Of a job that is over
`job-info.lookup` reads it as a whole.
"""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.group_events import EVENTLOG
from rainbow_agent.core.model import TaskKey
from rainbow_agent.core.workload_values import EventKind, WorkloadEvent
from rainbow_agent.workload.flux.connection import ANSWER_SECONDS, Connection, Reply

log = logging.getLogger(__name__)

EVENTLOG_WATCH = "job-info.eventlog-watch"
#: FLUX_JOB_EVENT_WATCH_WAITCREATE (flux-core src/common/libjob/job.h): wait for the first event.
WAIT_CREATE = 1
_LOOKUP = "job-info.lookup"
_PATH = f"guest.{EVENTLOG}"
#: There is no log, as the runner never wrote; the end of one.
_NOTHING = frozenset({errno.ENODATA, errno.ENOENT})


@dataclass
class _Followed:
    """A group that has started, and whose end was not passed on."""

    heard: int = 0  # lines of its log
    watched: bool = False  # whether its stream is open
    clean: WorkloadEvent | None = None  # the end of its job, which comes after its inside
    looked_up: bool = False


class FluxInside:
    """Follows the insides of groups on the journal's connection.

    A watch that is begun while the job ends may say nothing for ever, or that there is no log: it
    waits for a namespace that was removed a moment before (flux-core 0.88, kvs-watch). So where
    the watch has not said all when the job is over, its log is read as a whole.

    Args:
        connection: the journal's.
        follow: asked of each group that starts: whether to follow it.
    """

    def __init__(self, connection: Connection, follow: Callable[[TaskKey], bool]) -> None:
        self._connection = connection
        self._follow = follow
        self._groups: dict[int, TaskKey] = {}  # that have not started, as far as was read
        self._followed: dict[int, _Followed] = {}
        self._started: list[int] = []  # of these, those to be watched
        self._streams: dict[int, int] = {}  # request -> group
        self._lookups: dict[int, int] = {}  # likewise

    def keeps(self, event: WorkloadEvent) -> bool:
        """Look at an event of the journal; True: it comes later, after the group's inside."""
        job = event.flux_id
        if event.kind is EventKind.SUBMIT and event.group and event.key is not None:
            self._groups[job] = event.key
        elif event.kind is EventKind.START:
            key = self._groups.pop(job, None)
            if key is not None and self._follow(key):
                self._followed[job] = _Followed()
                self._started.append(job)
        elif event.kind is EventKind.CLEAN:
            self._groups.pop(job, None)
            if (group := self._followed.get(job)) is not None:
                group.clean = event
                if not (group.watched and group.heard):
                    self._look_up(job)
                return True
        return False

    def watch(self) -> None:
        """Begin to watch groups that have started, and are not over as far as was read."""
        for job in self._started:
            group = self._followed.get(job)
            if group is not None and group.clean is None:
                payload = {"id": job, "path": _PATH, "flags": WAIT_CREATE}
                number = self._connection.request(EVENTLOG_WATCH, payload, streaming=True)
                self._streams[number], group.watched = job, True
        self._started.clear()

    def read(self, response: Reply) -> Iterator[WorkloadEvent]:
        """What a response means that is none of the journal's own."""
        if (job := self._lookups.pop(response.request, None)) is not None:
            yield from self._whole(job, response)
        elif (job := self._streams.get(response.request)) is not None:
            if response.error:
                del self._streams[response.request]
            if (group := self._followed.get(job)) is not None:  # else its log was read meanwhile
                yield from self._piece(job, group, response)

    def _piece(self, job: int, group: _Followed, response: Reply) -> Iterator[WorkloadEvent]:
        """What the watch of a log says."""
        if not response.error:
            lines = json.loads(response.text)["event"].splitlines()
            group.heard += len(lines)
            yield from _events(job, lines)
            return
        group.watched = False
        if group.clean is None:
            return  # its log is read when it is over
        if response.error == errno.ENODATA and group.heard:
            del self._followed[job]
            yield group.clean
        else:
            self._look_up(job)

    def _whole(self, job: int, response: Reply) -> Iterator[WorkloadEvent]:
        """What a log that was read as a whole has beyond what was heard, and the job's end."""
        group = self._followed.pop(job, None)
        if group is None:
            return  # the watch has said all meanwhile
        if not response.error:
            lines = json.loads(response.text).get(_PATH, "").splitlines()
            yield from _events(job, lines[group.heard :])
        elif response.error not in _NOTHING:
            log.warning(
                "The inside of group %d cannot be read: %s",
                job,
                response.text,
                extra={"action": "group_unread", "flux_id": job},
            )
        if group.clean is not None:
            yield group.clean

    def _look_up(self, job: int) -> None:
        group = self._followed[job]
        if not group.looked_up:
            group.looked_up = True
            payload = {"id": job, "keys": [_PATH], "flags": 0}
            self._lookups[self._connection.request(_LOOKUP, payload)] = job


def _events(job: int, lines: Iterable[str]) -> Iterator[WorkloadEvent]:
    return (event for line in lines if (event := _event(job, line)) is not None)


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
