"""Every step from a job's receipt to the last report of it, and what a SIGKILL just after it means.

Data, so that nothing is left out: docs/architecture.md shows this table (a test compares them),
and tests/acceptance/test_crashes.py kills a real agent at each of its lines. The words: `rainbow`
is the scheduler, `Flux` the workload manager, also where it is the local one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rainbow_agent.runtime.fault_injection import CrashPoint


@dataclass(frozen=True)
class Step:
    """A line of the table.

    Attributes:
        point: the crash point right after the step.
        done: the step.
        on_disk: what the state folder holds then.
        outside: what rainbow and the workload manager know then.
        next_start: what the next start does.
    """

    point: CrashPoint
    done: str
    on_disk: str
    outside: str
    next_start: str


STEPS: Final = (
    Step(
        CrashPoint.REGISTERED,
        "Register was answered",
        "no secret, or that of the registration before",
        "rainbow has the cluster",
        "exits with status 42 and says what to do: rainbow gives a secret only once",
    ),
    Step(
        CrashPoint.STORED,
        "the secret is stored",
        "the secret; the ledger knows the registration before, if any",
        "rainbow has the cluster",
        "continues with the secret, and notes its registration",
    ),
    Step(
        CrashPoint.DEREGISTERED,
        "a renewal: Delete was answered",
        "the secret that is no longer good",
        "rainbow has no such cluster; its rows still wait",
        "is denied, and registers again",
    ),
    Step(
        CrashPoint.OPENED,
        "a new registration is in the ledger, the one before is closed in it",
        "both; jobs of the old one continue under it",
        "rainbow has the cluster, and a graph without subsystems",
        "continues with the new one, and sends the subsystems",
    ),
    Step(
        CrashPoint.GRAPH_DROPPED,
        "a graph is replaced in place: the old one is deleted",
        "a note that it is not known what rainbow has",
        "rainbow has no graph of this cluster",
        "sends all of it",
    ),
    Step(
        CrashPoint.RECEIVED,
        "ReceiveJobs was answered",
        "nothing of the jobs",
        "rainbow has the rows",
        "is offered them again",
    ),
    Step(
        CrashPoint.WRITTEN,
        "the rows are written",
        "jobs without tasks",
        "rainbow has the rows",
        "plans them; rainbow's offer of the same rows is recognised",
    ),
    Step(
        CrashPoint.PLANNED,
        "the plans are written",
        "tasks that are `pending`",
        "rainbow has the rows; Flux has none",
        "submits them",
    ),
    Step(
        CrashPoint.MARKED,
        "`submitting` is written",
        "tasks that are `submitting`",
        "Flux has none",
        "waits until nothing the old process sent can still become a job, reads the journal's whole"
        " history, looks each up by key: not found, it is `pending` again, and submitted",
    ),
    Step(
        CrashPoint.SENT,
        "a submission is sent",
        "tasks that are `submitting`",
        "Flux may have it, or get it in a moment",
        "the same: found, it takes the id",
    ),
    Step(
        CrashPoint.SUBMITTED,
        "a submission was answered",
        "tasks that are `submitting`",
        "Flux has the task, and may run it",
        "the same: found, it takes the id",
    ),
    Step(
        CrashPoint.RECORDED,
        "the ids are written",
        "tasks with ids; the job is not accepted",
        "rainbow has the rows; Flux has the tasks",
        "accepts the job",
    ),
    Step(
        CrashPoint.ACCEPTED,
        "AcceptJobs was answered",
        "the job is not accepted",
        "rainbow has let the rows go",
        "is not offered the row again, and notes that; a row that is there still is accepted again",
    ),
    Step(
        CrashPoint.LET_GO,
        "that is written",
        "the job is accepted",
        "Flux has the tasks",
        "follows them in the journal",
    ),
    Step(
        CrashPoint.START_HEARD,
        "the journal says that a task started",
        "the task is `submitted` or `submitting`",
        "Flux runs it",
        "reads it again in the history",
    ),
    Step(
        CrashPoint.START_NOTED,
        "that is written",
        "the task is `running`",
        "Flux runs it, rainbow does not know",
        "follows it, and reports",
    ),
    Step(
        CrashPoint.END_HEARD,
        "the journal says that a task ended",
        "the task is not over",
        "Flux has its end",
        "reads it again in the history",
    ),
    Step(
        CrashPoint.END_NOTED,
        "that is written",
        "the task is over, with exit code and reason",
        "rainbow does not know",
        "reports it",
    ),
    Step(
        CrashPoint.REPORT_MADE,
        "a report with the job's end is made",
        "the job is over",
        "rainbow does not know",
        "reports it",
    ),
    Step(
        CrashPoint.REPORTED,
        "UpdateState was answered",
        "the job is over; not that rainbow knows",
        "rainbow knows the end",
        "reports it again: each report is whole, and the same",
    ),
    Step(
        CrashPoint.REPORT_NOTED,
        "that is written",
        "all there is to know",
        "rainbow knows the end",
        "has nothing left to do for the job",
    ),
    Step(
        CrashPoint.NEWS_MADE,
        "a message to the sender of a job with a handle is made",
        "the job's state; not that its sender knows it",
        "the inbox has nothing new",
        "tells it",
    ),
    Step(
        CrashPoint.NEWS_TOLD,
        "the message's SubmitJob was answered",
        "the job's state; not that its sender knows it",
        "the message waits in the inbox",
        "tells it again: each message has all of the job's state, and only the last one counts",
    ),
    Step(
        CrashPoint.NEWS_NOTED,
        "that is written",
        "that the sender knows the state",
        "the message waits in the inbox",
        "tells what comes later",
    ),
    Step(
        CrashPoint.ASKED,
        "what the sender of a job asks is written",
        "the question, not looked into",
        "rainbow has the row that asks",
        "looks into it, once, and takes it off rainbow's list",
    ),
    Step(
        CrashPoint.ASKED_DONE,
        "it is carried out in the ledger, or dropped",
        "what follows from it (a cancellation), and its counter",
        "rainbow has let the row go",
        "continues with what follows; the question, should it come again, changes nothing",
    ),
    Step(
        CrashPoint.ANSWERED,
        "an answer's SubmitJob was answered",
        "the question, still open",
        "the answer waits in the inbox",
        "answers again; the sender reads one",
    ),
    Step(
        CrashPoint.HISTORY_READ,
        "a start has read the journal's history",
        "what was there before",
        "Flux has more news than the ledger",
        "reads it again",
    ),
    Step(
        CrashPoint.HISTORY_WRITTEN,
        "the history's news is written",
        "every task as Flux has it",
        "tasks that Flux does not have are not sorted out",
        "reads it again, which changes nothing, and sorts them out",
    ),
    Step(
        CrashPoint.SORTING,
        "what Flux no longer has is sorted out: lost, or to be submitted again",
        "nothing of that: the transaction is open",
        "Flux is another instance than before",
        "sorts it out again, with the same result",
    ),
    Step(
        CrashPoint.SORTED,
        "that is committed, with the name of the new instance",
        "tasks that are `lost`, others `pending` again",
        "the new instance has none of them",
        "submits what is pending; what is lost stays lost",
    ),
    Step(
        CrashPoint.RECOVERED,
        "what was `submitting` and is not in Flux is `pending` again",
        "tasks that are `pending`",
        "Flux has none of these",
        "submits them",
    ),
    Step(
        CrashPoint.CANCEL_REQUESTED,
        "`rainbow-agent cancel` has stored the request",
        "the request",
        "neither knows of it",
        "carries it out before anything is submitted",
    ),
    Step(
        CrashPoint.WITHDRAWN,
        "what was `pending` of the job is canceled in the ledger",
        "that, and the request",
        "Flux still has what it had of the job",
        "cancels the rest in Flux",
    ),
    Step(
        CrashPoint.CANCEL_SENT,
        "Flux has the cancellation",
        "the tasks are not over; the request",
        "Flux ends them",
        "reads their end in the history, or cancels what is not over again",
    ),
    Step(
        CrashPoint.CANCELED,
        "the job is over",
        "that, and the request, still open",
        "Flux has nothing of it any more",
        "closes the request, and reports",
    ),
    Step(
        CrashPoint.STOP_CANCELED,
        "a stop with RAINBOW_ON_STOP=cancel: Flux has the cancellation",
        "the tasks are not over",
        "Flux ends them",
        "reads their end in the history; what was still `pending` is submitted, as of other jobs",
    ),
)


def as_markdown() -> list[str]:
    """The table's lines, as docs/architecture.md has them."""
    head = "| point | killed after | on disk | rainbow and Flux | the next start |"
    return [
        head,
        "|" + "---|" * 5,
        *(
            f"| {s.point.value} | {s.done} | {s.on_disk} | {s.outside} | {s.next_start} |"
            for s in STEPS
        ),
    ]
