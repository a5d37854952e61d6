"""Carrying out the request that a job should end (`rainbow-agent cancel`).

The request is in the ledger first, so that it is not lost. What is in the workload manager is
canceled there, and its journal says when it ended; what is not there yet never goes there. What is
about to be submitted at this moment waits for the next round.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from rainbow_agent.core.model import Cancellation, JobChange, JobRow, TaskChange, TaskRow
from rainbow_agent.core.ports import Clock
from rainbow_agent.core.states import FINAL_JOB_STATES, SENT_TASK_STATES, TaskState
from rainbow_agent.jobs.ports import Cancellations
from rainbow_agent.runtime.fault_injection import CrashPoint, reach, reach_if

log = logging.getLogger(__name__)

#: Seconds after which a job that was canceled and still runs is canceled again.
RESEND_AFTER_S = 60.0


class Canceler:
    """Carries out the open requests; to be called again until none is left.

    Args:
        ledger: where the requests are.
        clock: for what is written.
    """

    def __init__(self, ledger: Cancellations, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._sent: dict[int, float] = {}  # job id in the workload manager -> when it was canceled

    def requested(self) -> bool:
        """Whether there is anything to carry out."""
        return bool(self._ledger.cancellations())

    def carry_out(self, cancel: Callable[[Sequence[int], str], None]) -> list[JobChange]:
        """Do what can be done now.

        Args:
            cancel: of the workload manager: job ids, and a note.

        Returns:
            Jobs whose state moved at once; of the others the workload manager's journal tells.

        Raises:
            WorkloadUnavailable: it cannot be asked; the requests stay.
        """
        moved: list[JobChange] = []
        for request in self._ledger.cancellations():
            row = self._ledger.job(request.key)
            if row is None or row.state in FINAL_JOB_STATES:
                reach(CrashPoint.CANCELED)
                self._ledger.end_cancellation(request.key, self._clock.now())
                continue
            moved += self._end(request, row, cancel)
        return moved

    def _end(
        self, request: Cancellation, row: JobRow, cancel: Callable[[Sequence[int], str], None]
    ) -> list[JobChange]:
        at = self._clock.now()
        if not row.tasks and self._ledger.cancel_unplanned(request.key, request.reason, at):
            reach(CrashPoint.CANCELED)
            self._ledger.end_cancellation(request.key, at)
            now = self._ledger.job(request.key)
            return [JobChange(request.key, row.state, now.state, now.reason)] if now else []
        # What is in a group ends with the group, and has ids of another instance.
        tasks = [task for task in row.tasks if task.group is None]
        moved = self._ledger.apply(
            [_never(task, request, at) for task in tasks if task.state is TaskState.PENDING]
        )
        reach_if(
            CrashPoint.WITHDRAWN, lambda: any(task.state is TaskState.PENDING for task in tasks)
        )
        ids = [
            task.flux_id
            for task in tasks
            if task.state in SENT_TASK_STATES
            and task.flux_id is not None
            and self._due(task.flux_id)
        ]
        if ids:
            cancel(ids, request.reason)
            reach(CrashPoint.CANCEL_SENT)
            log.info(
                "Canceled job %d: %s",
                request.key.id,
                request.reason,
                extra={"action": "canceled", "job": str(request.key), "tasks": len(ids)},
            )
            self._sent.update(dict.fromkeys(ids, self._clock.monotonic()))
        return moved

    def _due(self, flux_id: int) -> bool:
        sent = self._sent.get(flux_id)
        return sent is None or self._clock.monotonic() - sent > RESEND_AFTER_S


def _never(task: TaskRow, request: Cancellation, at: float) -> TaskChange:
    return TaskChange(
        task.key, TaskState.CANCELED, at, request.reason, reason=request.reason, finished=at
    )
