"""What to do about a job that did not complete, by what is said of it. Pure.

What Flux says of a task is in `MESSAGES`, in one place: an exception is `type: note`, and the notes
are those of flux-core 0.62 to 0.88 (job-exec, flux-shell, job-manager) and of Fluxion. The local
workload manager uses the same words.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from rainbow_agent.core.model import JobRow, TaskRow
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState, TaskState
from rainbow_agent.monitoring.blame import in_names


class Remedy(NamedTuple):
    """A message, as a regular expression, and what to do. `{job}` stands for the job's id."""

    pattern: str
    advice: str


_PROGRAM: Final = "check `command`, and that the software is there on every node of the cluster"
_LOGS: Final = "its own output says why: `rainbow-agent logs {job}`"

#: The first that is found in the reason counts: so the particular stand before the general.
MESSAGES: Final = (
    # The node, and the workload manager itself.
    Remedy(
        r"^exec: (node failure|lost contact)|lost contact with job shell",
        "its node went away while it ran (crashed, rebooted or cut off): submit the job again, and"
        " look at the node (`flux resource status`)",
    ),
    Remedy(
        r"unkillable (user )?processes",
        "processes of it could not be killed, most often because a file system hangs: look at the"
        " node, which Flux drains",
    ),
    Remedy(
        r"^exec: job shell exec error",
        "Flux's own job shell could not be started on that node, which is not the job's fault: the"
        " cluster's administrator should look at Flux's `exec.job-shell` and `exec.imp`",
    ),
    Remedy(
        r"^exec: (loading rc file|shell_init|shell\.start|job shell|.*shell rank|rank \d+)",
        "Flux's job shell did not accept the job's shell options or the node's resources: check"
        " the shell options in the jobspec; the shell says more in `rainbow-agent logs {job}`",
    ),
    Remedy(
        r"start timeout|barrier-timeout|timed out.*(shell|barrier)",
        "a node took too long to start its part: look at the nodes, and submit the job again",
    ),
    Remedy(
        r"^(prolog|epilog|housekeeping)|(prolog|epilog) (failed|killed|timeout)",
        "a script that the cluster's administrator runs around each job failed: ask them",
    ),
    Remedy(
        r"workload manager was restarted while",
        "how it ended is not known: look at what it printed, and submit the job again if needed",
    ),
    Remedy(
        r"no longer knows this task|instance that was replaced|instance was replaced",
        "the Flux instance that had it is gone: submit the job again; a state folder that outlives"
        " the pod does not help here, Flux's own must",
    ),
    # What the job asks for.
    Remedy(
        r"came first with the key",
        "nothing: it was sent before, and `explain` of the job that came first says how that ended."
        " If it is to run once more, submit it with another key",
    ),
    Remedy(
        r"no node here (has|meets)|none of the nodes here passes|asked for; .* with space for",
        "no node of this cluster has what it asks for: `rainbow-agent satisfy JOBSPEC` says what"
        " each lacks. Install that, or send it to a cluster that has it",
    ),
    Remedy(
        r"resource type 'gpu'",
        "this cluster's Flux has a scheduler that gives no GPUs (sched-simple before 0.84): its"
        " administrator can load Fluxion; `rainbow-agent doctor` says how. Or send the job to"
        " another cluster",
    ),
    Remedy(
        r"alloc denied due to type=",
        "Flux's scheduler gives the task nothing, now that the nodes are as they are: compare its"
        " resources with `rainbow-agent status`; if nodes were down, submit it again once they are"
        " up, or send it to another cluster",
    ),
    Remedy(
        r"[Uu]nsatisfiable|never be allocated",
        "no node of this cluster can ever give what the task asks for: compare its resources with"
        " `rainbow-agent status`, or send it to another cluster",
    ),
    Remedy(
        r"[Qq]ueue .*(disabled|not found|unknown)|unknown queue|not a valid queue|"
        r"(job )?submission is disabled|no (default )?queue",
        "the cluster's queue does not take the job: ask its administrator (`flux queue list`)",
    ),
    Remedy(
        r"exceeds (policy )?limit|exceeds.*(duration|size|lifetime)|duration .* exceeds",
        "it asks for more than the cluster allows: ask for less time or fewer nodes, or send it to"
        " another cluster",
    ),
    Remedy(
        r"^timeout\b",
        "it ran longer than the `duration` in its attributes: give it more time, or less to do",
    ),
    Remedy(
        r"Memory cgroup out of memory|oom-kill",
        "it used more memory than it may: ask for fewer tasks on a node, or for more memory",
    ),
    # The command.
    Remedy(
        r"Argument list too long",
        "one word of the command is longer than the node's kernel takes (most: 128 KiB), or all of"
        " them and the environment together are: write it as a script (a `command` that begins with"
        " `#!`), which travels in the job as a file",
    ),
    Remedy(
        r"start failed: .*: Permission denied",
        "the program is not executable on the node that ran it: check its mode (chmod +x), and that"
        " `command` does not name a folder",
    ),
    Remedy(
        r"Exec format error",
        "the program is for another machine, or a script without its first line (`#!/bin/sh`)",
    ),
    Remedy(
        r"start failed: .*: (No such file or directory|Not a directory)|command not found",
        "the program, or the interpreter in its first line, is not there on the node that ran it: "
        + _PROGRAM,
    ),
    Remedy(
        r"(chdir|[Cc]ould not change dir|cwd|working (folder|directory)).*"
        r"(No such file|Not a directory|not there|denied)",
        "its working folder is not there on the node that ran it: check `cwd`",
    ),
    Remedy(
        r"start failed: .*: (Cannot allocate memory|Resource temporarily unavailable|"
        r"Too many open files)",
        "the node had no memory, processes or files left to start it: submit the job again, and"
        " look at the node if it happens again",
    ),
    Remedy(r"start failed", f"the program could not be started: {_PROGRAM}"),
    # What others decided.
    Remedy(
        r"^dependency|depends on",
        "look at the task that it depends on: that one did not complete",
    ),
    Remedy(
        r"^cancel\b|^canceled by",
        "it was canceled on request; if that was a mistake, submit it again",
    ),
    Remedy(
        r"another version|this version of the agent",
        "submit the job again: it was planned by another version of the agent",
    ),
    Remedy(
        r"[Pp]ermission denied",
        "the user that the agent runs as may not do that in this Flux instance: check who owns it",
    ),
    Remedy(r"exit code|signal", _LOGS),
)

#: Exit codes that shells and kernels give a meaning (POSIX 2.8.2; signal(7)).
EXIT_CODES: Final = {
    126: "the command was found and could not be run: is it executable, and for this machine?",
    127: "the command was not found: name its path, or load the software that has it"
    " (a `spack load` in the task's script)",
    130: "it was interrupted (SIGINT)",
    134: f"it aborted itself (SIGABRT): {_LOGS}",
    137: "it was killed (SIGKILL), most often because the node or the container ran out of"
    " memory: ask for fewer tasks a node, or for more memory in the container's limits",
    139: "it crashed (SIGSEGV): run it with a debugger, or with another build",
    143: "it was terminated from outside (SIGTERM)",
}


def culprit(job: JobRow) -> TaskRow | None:
    """The task that the job's end is about: the first to fail; None when no task is to blame."""
    order = {TaskState.LOST: 0, TaskState.FAILED: 1, TaskState.CANCELED: 2}
    bad = [task for task in job.tasks if task.state in order]
    if not bad:
        return None
    return min(bad, key=lambda t: (order[t.state], t.finished or 0.0, t.position, t.key.replica))


def blamed(job: JobRow) -> tuple[str | None, str | None]:
    """The task that decided how a job ended, where it has several, and why it ended so."""
    reason, task = in_names(job.reason, job), culprit(job)
    if reason is None or task is None or len({each.key.task for each in job.tasks}) == 1:
        return None, reason
    return task.key.label, in_names(task.reason, job) or reason


def remedy(job: JobRow) -> str | None:
    """What to do about a job that is refused, failed, canceled or lost; None when all is well."""
    if job.state is JobState.COMPLETED or job.state not in FINAL_JOB_STATES:
        return None
    task = culprit(job)
    reason = (task.reason if task else None) or job.reason or ""
    code = task.exit_code if task else None
    advice = of_message(reason)
    if code is not None and reason.startswith(("exit code", "signal")):
        advice = EXIT_CODES.get(code, advice)
    if advice is None and job.state is JobState.REFUSED:
        advice = "correct the jobspec and submit it again; this one is never tried again"
    return advice.format(job=job.key.id) if advice else None


def of_message(reason: str) -> str | None:
    """The advice for a reason, with `{job}` in it; None for one that is not in the table."""
    return next((each.advice for each in MESSAGES if re.search(each.pattern, reason)), None)
