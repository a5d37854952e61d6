"""What a sender sees of the jobs that they sent: the same as on the cluster, where it is known."""

from __future__ import annotations

from typing import Any

from rainbow_agent.core.model import JobRow
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState
from rainbow_agent.monitoring.remedies import culprit
from rainbow_agent.monitoring.views import ago, job_view
from rainbow_agent.runtime.logs import when
from rainbow_agent.storage.sent_store import SentJob

#: States of a job of which its cluster has told nothing.
SENDING = "sending"  # it is not known whether rainbow took it
SENT = "sent"  # rainbow assigned it to a cluster
SILENT = "silent"  # and that has told nothing for too long


def sent_state(sent: SentJob, now: float, reply_within: float) -> str:
    """The job's state, or what is known in its place."""
    if sent.job is not None:
        return sent.job.state.value
    if sent.cluster is None:
        return SENDING
    return SENT if now - sent.at <= reply_within else SILENT


def is_over(sent: SentJob) -> bool:
    """Whether the job has ended, as far as is known."""
    return sent.job is not None and sent.job.state in FINAL_JOB_STATES


def why_silent(sent: SentJob, now: float, cluster_heard: float | None) -> str:
    """What is known of a cluster that has sent no message about a job.

    Args:
        sent: the job.
        now: epoch seconds.
        cluster_heard: when its last message about another job came; None: never.
    """
    if sent.cluster is None:
        return "SubmitJob was not answered: it is not known whether rainbow took the job"
    since = f"no message about the job in the {ago(max(now - sent.at, 0.0))} since it was sent"
    if cluster_heard is None:
        known = "this sender never had a message from it: it may run another program"
    else:
        age = ago(max(now - cluster_heard, 0.0))
        known = (
            f"the last one about another job came {age} ago: its agent may be down, or take no jobs"
        )
    return f"cluster {sent.cluster} does not report back: {since}; {known}"


def sent_view(sent: SentJob, now: float, reply_within: float, reason: str = "") -> dict[str, Any]:
    """One job that was sent: the keys of job_view(), and the handle, cluster, and when.

    Args:
        sent: the job.
        now: epoch seconds.
        reply_within: seconds after which a cluster that told nothing is silent.
        reason: of a state that is the sender's, not the cluster's.
    """
    if sent.job is not None:
        facts: dict[str, Any] = dict(job_view(sent.job))
    else:
        facts = {
            **dict.fromkeys(("id", "registration", "received", "accepted", "finished")),
            "name": sent.name,
            "state": sent_state(sent, now, reply_within),
            "reason": reason or None,
            "tasks": [],
        }
    return {
        "handle": sent.handle,
        "cluster": sent.cluster,
        "sent": when(sent.at),
        "heard": None if sent.heard is None else when(sent.heard),
        **facts,
    }


def sent_cells(views: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Jobs that were sent as a table: the columns' names, and a row for each."""
    header = ["HANDLE", "CLUSTER", "ID", "NAME", "STATE", "SENT", "FINISHED", "REASON"]
    cells = [
        [
            str(view["handle"]),
            str(view["cluster"] or "-"),
            "-" if view["id"] is None else str(view["id"]),
            str(view["name"]),
            str(view["state"]),
            str(view["sent"]),
            str(view["finished"] or "-"),
            str(view["reason"] or ""),
        ]
        for view in views
    ]
    return header, cells


def exit_status(job: JobRow) -> int:
    """What a command that waited for the job ends with: the exit code of the task that failed.

    1 where it has none, or the job was canceled, refused or lost.
    """
    if job.state is JobState.COMPLETED:
        return 0
    task = culprit(job)
    code = task.exit_code if task else None
    return code if code is not None and 0 < code < 256 else 1
