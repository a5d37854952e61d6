"""When nothing that a dead process sent to Flux can become a job any more.

An agent that dies leaves requests on their way: in its socket, in the validators of job-ingest,
in a batch that waits for its KVS commit, in the message to the job manager. A task looked up in
the journal before they arrive is not there, and would be submitted a second time.

Every hop on that way is first in, first out (unix socket -> connector-local -> broker ->
job-ingest; job-ingest commits and announces its batches in order), except the two parallel
stages, which are waited for:

(Both processes talk to the same broker, the one of their pod.)

1. The connector reads at most one message of every ready client in a turn of its event loop, and
   each of our round trips takes at least a turn. The kernel holds a bounded number of messages
   for a client that is gone, so after as many round trips all of them are in job-ingest.
2. Validators work in parallel: job-ingest's statistics count what they hold (`backlog`, in 0.62
   and 0.88 alike). Between two stages a job is in neither count for a turn of the loop, so it
   takes some answers in a row without backlog.
3. Then a job request of our own goes the rest of the way behind all others, up to the job manager,
   which turns it down for an unknown dependency scheme. When its answer is here, all
   before it are jobs (and in the journal) or have been refused.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.core.ports import StopSignal
from rainbow_agent.workload.flux.connection import Connection, Reply

log = logging.getLogger(__name__)

#: Messages that can wait in a unix socket: net.core.wmem_default (212992 bytes) over the 768
#: bytes that the kernel charges for the smallest of them.
ROUND_TRIPS = 280
#: Answers in a row without backlog: one for each hand-over between stages, and one more.
IDLE_ANSWERS = 3
_POLL_INTERVAL_S = 0.02  # seconds between looks at a busy pipeline
_IDLE_FOR_S = (
    2.0  # seconds without work, where the request of step 3 does not reach the job manager
)
_PROBE_TIMEOUT_S = 60.0
_STOP_CHECK_S = 0.25  # seconds between looks at the stop signal
_SCHEME = "rainbow-agent-probe"

_PROBE = {
    "version": 1,
    "resources": [
        {"type": "slot", "label": "task", "count": 1, "with": [{"type": "core", "count": 1}]}
    ],
    "tasks": [{"command": ["true"], "slot": "task", "count": {"per_slot": 1}}],
    "attributes": {
        "system": {"duration": 1, "dependencies": [{"scheme": _SCHEME, "value": "never"}]}
    },
}


def settle(connection: Connection, stop: StopSignal) -> None:
    """Wait until all that was sent before this call is a job, or never will be.

    Returns early, without that promise, when `stop` is set.

    Raises:
        WorkloadUnavailable: the connection is gone, or Flux does not answer.
    """
    for _ in range(ROUND_TRIPS):
        if stop.is_set():
            return
        ingest_statistics(connection)
    if not _wait_idle(connection, stop, IDLE_ANSWERS):
        return
    answer = _probe(connection, stop)
    if answer is None or _SCHEME in answer.text:
        return
    if not answer.error:
        _withdraw(connection, answer)
        return
    # A site's own validator turned it down before the batch; what is left is to wait.
    log.warning(
        "Flux answers the settling request with '%s'; waiting %.0f s instead",
        answer.text,
        _IDLE_FOR_S,
        extra={"action": "settle_by_waiting"},
    )
    _wait_idle(connection, stop, int(_IDLE_FOR_S / _POLL_INTERVAL_S), pause=_POLL_INTERVAL_S)


def ingest_statistics(connection: Connection) -> Mapping[str, Any]:
    """What `flux module stats job-ingest` shows."""
    answer = connection.call("job-ingest.stats-get")
    return answer if isinstance(answer, Mapping) else {}


def backlog(statistics: Mapping[str, Any]) -> int:
    """Jobs inside job-ingest's frobnicators and validators."""
    stages = statistics.get("pipeline") or {}
    return sum(int(stage.get("backlog", 0)) for stage in stages.values())


def _wait_idle(
    connection: Connection, stop: StopSignal, answers: int, *, pause: float = 0.0
) -> bool:
    """Whether `answers` in a row, `pause` seconds apart, came without backlog before the stop."""
    idle = 0
    while idle < answers:
        busy = backlog(ingest_statistics(connection)) > 0
        idle = 0 if busy else idle + 1
        if stop.wait(_POLL_INTERVAL_S if busy else pause):
            return False
    return True


def _probe(connection: Connection, stop: StopSignal) -> Reply | None:
    request = connection.submit(json.dumps(_PROBE))
    for _ in range(int(_PROBE_TIMEOUT_S / _STOP_CHECK_S)):
        answer = connection.answer(request, _STOP_CHECK_S)
        if answer or stop.is_set():
            return answer
    raise WorkloadUnavailable(
        f"Flux at {connection.where} did not answer a job request within {_PROBE_TIMEOUT_S:.0f} s"
    )


def _withdraw(connection: Connection, answer: Reply) -> None:
    """Somebody's plugin serves our scheme: the request became a job, which waits for ever."""
    flux_id = json.loads(answer.text)["id"]
    connection.cancel(flux_id, "a request of rainbow-agent that only marks a place in the queue")
