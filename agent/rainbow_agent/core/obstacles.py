"""What keeps jobs from being taken or started, of what the workload manager itself knows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class ObstacleKind(str, Enum):
    """Which."""

    NO_SCHEDULER = "no-scheduler"  # none is loaded or ready: jobs are taken, and none starts
    QUEUE_STOPPED = "queue-stopped"  # jobs are taken, and none starts
    QUEUE_DISABLED = "queue-disabled"  # no job is taken
    REFUSES_ALL = "refuses-all"  # the plainest job is refused
    GPUS_NOT_GIVEN = "gpus-not-given"  # jobs for GPUs fail; the others start


@dataclass(frozen=True)
class Obstacle:
    """One."""

    kind: ObstacleKind
    queue: str = ""  # its name, where it is a queue with one
    reason: str = ""  # in the operator's words, or the workload manager's
    default: bool = True  # whether it concerns jobs that name no queue

    def __str__(self) -> str:
        """One sentence, without its end."""
        queue = f"the queue {self.queue}" if self.queue else "the queue"
        because = f": {self.reason}" if self.reason else ""
        return {
            ObstacleKind.NO_SCHEDULER: (
                f"no job starts before the scheduler is ready{because}"
                if self.reason
                else "no scheduler is loaded, so no job starts"
            ),
            ObstacleKind.QUEUE_STOPPED: f"{queue} is stopped, so no job of it starts{because}",
            ObstacleKind.QUEUE_DISABLED: f"{queue} is disabled and takes no jobs{because}",
            ObstacleKind.REFUSES_ALL: f"every job is refused{because}",
            ObstacleKind.GPUS_NOT_GIVEN: f"the scheduler gives no job a GPU{because}",
        }[self.kind]
