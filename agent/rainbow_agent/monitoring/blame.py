"""What is said of a task that another one kept from running, in the names of tasks. Pure.

Flux and the local workload manager name jobs by their ids, which are in no jobspec.
"""

from __future__ import annotations

import re
from typing import Final

from rainbow_agent.core.model import JobRow
from rainbow_agent.core.notation import f58
from rainbow_agent.core.states import TaskState

#: How a task ended that others waited for.
_ENDS: Final = {
    TaskState.FAILED: "failed",
    TaskState.CANCELED: "was canceled",
    TaskState.LOST: "was lost",
}


def in_names(reason: str | None, job: JobRow) -> str | None:
    """A reason of one of the job's tasks, or of the job, with tasks in the place of their ids.

    Args:
        reason: as the ledger has it; all but failed dependencies stay as they are.
        job: whose tasks the ids are looked for in.
    """
    if reason is None or not reason.startswith("dependency"):
        return reason
    words = set(re.findall(r"\w+", reason))
    for task in job.tasks:
        if task.flux_id is None or task.group is not None:
            continue
        if words & {str(task.flux_id), f58(task.flux_id)} and task.state is not TaskState.COMPLETED:
            end = _ENDS.get(task.state, "did not complete")  # its own end may come later
            return f"it depends on {task.key.task}, which {end}"
    return reason
