"""Whether Flux refuses one job, or would refuse every one: the plainest job is tried.

A job is refused for what is in it, or for what no jobspec can help: no default queue, a queue that
is disabled, a user who is in no account, a site's validator. Flux answers both alike, in words
that differ from plugin to plugin. So the words are not looked at: when a job is refused, one core
for a second is asked for, held (urgency 0), and canceled at once when it is taken
(docs/decisions/0082).
"""

from __future__ import annotations

import json
from collections.abc import Callable

from rainbow_agent.core.errors import WorkloadUnavailable
from rainbow_agent.workload.flux.connection import ANSWER_SECONDS, Connection

#: Seconds for which what a trial showed is believed.
BELIEVED_S = 10.0
#: The name of the job that is tried.
TRIAL_JOB_NAME = "rainbow-agent-trial"


class Trial:
    """Tries the plainest job, at most once in a while.

    Args:
        queue: that our jobs go to; "" where Flux chooses.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, queue: str, now: Callable[[], float]) -> None:
        self._queue = queue
        self._now = now
        self._tried: tuple[float, str | None] | None = None

    def problem(self, connection: Connection, *, anew: bool = False) -> str | None:
        """Why Flux takes no job at all, in its words; None when it takes the plainest.

        Args:
            connection: to Flux.
            anew: try now, whatever an earlier trial showed.

        Raises:
            WorkloadUnavailable: it does not answer.
        """
        if anew or self._tried is None or self._now() - self._tried[0] > BELIEVED_S:
            self._tried = self._now(), self._try(connection)
        return self._tried[1]

    def _try(self, connection: Connection) -> str | None:
        request = connection.submit(json.dumps(_plainest(self._queue)), held=True)
        answer = connection.answer(request, ANSWER_SECONDS)
        if answer is None:
            raise WorkloadUnavailable(f"Flux at {connection.where} does not answer a submission")
        if answer.error:
            return answer.text
        canceled = connection.cancel(int(json.loads(answer.text)["id"]), "it was only tried")
        connection.answer(canceled, ANSWER_SECONDS)
        return None


def _plainest(queue: str) -> dict[str, object]:
    system: dict[str, object] = {
        "duration": 1.0,
        "environment": {},
        "job": {"name": TRIAL_JOB_NAME},
    }
    if queue:
        system["queue"] = queue
    core = {"type": "core", "count": 1}
    return {
        "version": 1,
        "resources": [{"type": "slot", "count": 1, "label": "task", "with": [core]}],
        "tasks": [{"command": ["true"], "slot": "task", "count": {"per_slot": 1}}],
        "attributes": {"system": system},
    }
