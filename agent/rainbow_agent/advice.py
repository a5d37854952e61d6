"""What to do about a job that did not end well: the cure beside the cause.

A reason is text: ours, or the workload manager's own words. The table goes from the particular to
the general; what none fits has no advice, which is better than a guess.
"""

from __future__ import annotations

import re
from typing import Final

from rainbow_agent.model import JobRow, TaskRow
from rainbow_agent.states import JobState, TaskState

#: Exit codes that shells and kernels give a meaning (POSIX 2.8.2; signal(7)): what it usually is.
_CODES: Final = {
    126: "the command was found and could not be run: is it executable, and for this machine?",
    127: "the command was not found: name its path, or load the software that has it"
    " (a `spack load` in the task's script)",
    130: "it was interrupted (SIGINT)",
    134: "it aborted itself (SIGABRT): its own output says why, `rainbow-agent logs {job}`",
    137: "it was killed (SIGKILL), most often because the node or the container ran out of"
    " memory: ask for fewer tasks a node, or for more memory in the container's limits",
    139: "it crashed (SIGSEGV): run it with a debugger, or with another build",
    143: "somebody ended it (SIGTERM)",
}

#: A piece of a reason, and the cure.
_REASONS: Final = (
    (
        r"unsatisfiable",
        (
            "no node of this cluster can ever give what the task asks for: compare its resources"
            " with `rainbow-agent status`, or send it to another cluster"
        ),
    ),
    (
        r"^timeout\b",
        "it ran longer than the `duration` in its attributes: give it more time, or less to do",
    ),
    (
        r"no longer knows this task|instance was replaced",
        (
            "the Flux instance that had it is gone: submit the job again; a state folder that"
            " outlives the pod does not help here, Flux's own must"
        ),
    ),
    (
        r"another version|this version of the agent",
        "submit the job again: it was planned by another version of the agent",
    ),
    (
        r"^exec\b|No such file or directory|not found",
        (
            "the program or its working folder is not there on the node that ran it: check"
            " `command` and `cwd`"
        ),
    ),
    (r"[Pp]ermission denied", "the user that owns the instance may not do that: check the owner"),
    (
        r"^cancel\b|^canceled by",
        "somebody ended it on purpose; submit it again if that was a mistake",
    ),
    (
        r"^dependency|depends on",
        "look at the task that it depends on: that one did not end well",
    ),
    (r"exit code|signal", "its own output says why: `rainbow-agent logs {job}`"),
)


def culprit(job: JobRow) -> TaskRow | None:
    """The task that the job's end is about: the first to fail; None when no task is to blame."""
    order = {TaskState.LOST: 0, TaskState.FAILED: 1, TaskState.CANCELED: 2}
    bad = [task for task in job.tasks if task.state in order]
    if not bad:
        return None
    return min(bad, key=lambda t: (order[t.state], t.finished or 0.0, t.position, t.key.replica))


def advise(job: JobRow) -> str | None:
    """What to do about a job that is refused, failed, canceled or lost; None when all is well."""
    if job.state is JobState.COMPLETED or job.state.value in ("received", "submitted", "running"):
        return None
    task = culprit(job)
    reason = (task.reason if task else None) or job.reason or ""
    code = task.exit_code if task else None
    cure = next((cure for piece, cure in _REASONS if re.search(piece, reason)), None)
    if code is not None and reason.startswith(("exit code", "signal")):
        cure = _CODES.get(code, cure)
    if cure is None and job.state is JobState.REFUSED:
        cure = "correct the jobspec and submit it again; this one is never tried again"
    return cure.format(job=job.key.id) if cure else None
