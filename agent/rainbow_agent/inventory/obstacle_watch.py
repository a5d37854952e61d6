"""Raises a condition while something in the workload manager keeps jobs from starting."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from rainbow_agent.core.obstacles import ObstacleKind
from rainbow_agent.core.ports import Clock, Workload
from rainbow_agent.runtime.conditions import ConditionName, Conditions

log = logging.getLogger(__name__)

#: Seconds between two questions.
OBSTACLE_INTERVAL_S: Final = 15.0
#: What is asked for here. That every job is refused is seen when jobs are submitted.
CONDITION_OF: Final[Mapping[ObstacleKind, ConditionName]] = {
    ObstacleKind.NO_SCHEDULER: ConditionName.NO_SCHEDULER,
    ObstacleKind.QUEUE_STOPPED: ConditionName.QUEUE_STOPPED,
    ObstacleKind.QUEUE_DISABLED: ConditionName.QUEUE_DISABLED,
    ObstacleKind.GPUS_NOT_GIVEN: ConditionName.GPUS_NOT_GIVEN,
}


class ObstacleWatch:
    """Used by the node watcher's thread, over its connection.

    Args:
        conditions: are set and cleared.
        clock: spaces the questions.
    """

    def __init__(self, conditions: Conditions, clock: Clock) -> None:
        self._conditions = conditions
        self._clock = clock
        self._asked = float("-inf")

    def look(self, workload: Workload) -> None:
        """Ask, if that is due. A queue that only jobs which name it go to is not our condition.

        Raises:
            WorkloadUnavailable: it does not answer; what was known stays.
        """
        now = self._clock.monotonic()
        if now - self._asked < OBSTACLE_INTERVAL_S:
            return
        found = {each.kind: each for each in workload.obstacles() if each.default}
        self._asked = now
        for kind, name in CONDITION_OF.items():
            if kind not in found:
                if self._conditions.clear(name):
                    log.info("Over: %s", name.value, extra={"action": "obstacle_over"})
            elif self._conditions.set(name, str(found[kind])):
                log.warning(
                    "In the workload manager %s",
                    found[kind],
                    extra={"action": "obstacle", "condition": name.value},
                )
