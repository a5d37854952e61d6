"""RAINBOW_ON_STOP=cancel: what runs is canceled, and its end is waited for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from rainbow_agent.core.errors import Refused, Transient
from rainbow_agent.core.model import TaskChange, TaskRow
from rainbow_agent.core.ports import Clock
from rainbow_agent.core.states import SENT_TASK_STATES, TaskState
from rainbow_agent.jobs.ports import Tasks
from rainbow_agent.runtime.fault_injection import CrashPoint, reach
from rainbow_agent.runtime.logs import counted
from rainbow_agent.runtime.stop import CANCEL_SHARE, Stop

log = logging.getLogger(__name__)

STOP_NOTE: Final = "the agent was stopped (RAINBOW_ON_STOP=cancel)"
#: Seconds between looks at the ledger while tasks end.
_POLL_INTERVAL_S: Final = 0.05


def cancel_running(
    ledger: Tasks, cancel: Callable[[Sequence[int], str], None], clock: Clock, stop: Stop
) -> None:
    """Cancel every task that is in the workload manager, and wait for its journal to say so.

    What of the same jobs is not there yet never goes there. Jobs of which nothing is there stay
    as they are: rainbow has them still, and the next start submits them.

    Args:
        ledger: the main loop's; the journal's thread, which still runs, writes what it reads.
        cancel: of the workload manager; job ids and a note.
        clock: for what is written here.
        stop: the one that was asked for.
    """
    rows = ledger.tasks_in(SENT_TASK_STATES | {TaskState.PENDING})
    begun = [row for row in rows if row.state in SENT_TASK_STATES]
    if not begun:
        return
    log.info("Canceling %s", counted(len(begun), "task"), extra={"action": "cancel_on_stop"})
    try:
        cancel([row.flux_id for row in begun if row.flux_id is not None], STOP_NOTE)
    except (Transient, Refused) as exc:
        log.warning("Jobs could not be canceled and are still running: %s", exc)
        return
    reach(CrashPoint.STOP_CANCELED)
    ledger.apply([*_never(rows, clock.now())])
    pause = threading.Event()
    while (still := ledger.tasks_in(SENT_TASK_STATES)) and stop.left(CANCEL_SHARE) > 0:
        pause.wait(_POLL_INTERVAL_S)
    if still:
        log.warning(
            "%s were canceled and had not ended in time; the next start reads how they ended",
            counted(len(still), "task"),
            extra={"action": "cancel_pending"},
        )


def _never(rows: Iterable[TaskRow], at: float) -> Iterable[TaskChange]:
    jobs = {row.key.job for row in rows if row.state in SENT_TASK_STATES}
    for row in rows:
        if row.state is TaskState.PENDING and row.key.job in jobs:
            yield TaskChange(
                row.key, TaskState.CANCELED, at, STOP_NOTE, reason=STOP_NOTE, finished=at
            )
