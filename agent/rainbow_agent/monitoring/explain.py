"""A job's whole story in one time line: why it is where it is, and what to do next.

Pure: what the ledger has of a job, and the workload manager's own events where it can be asked,
become one object (docs/commands.md), and that becomes text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from rainbow_agent.core.model import (
    Cancellation,
    JobKey,
    JobRow,
    ReportLine,
    StoryLine,
    TaskEvent,
    TaskKey,
    TaskRow,
)
from rainbow_agent.core.notation import exit_code, f58
from rainbow_agent.core.states import FINAL_JOB_STATES, FINAL_TASK_STATES, JobState, TaskState
from rainbow_agent.monitoring.ports import Histories
from rainbow_agent.monitoring.views import ago, job_view
from rainbow_agent.runtime.logs import clean, when

#: Seconds below which a wait is not worth a word.
WORTH = 1.0


@dataclass(frozen=True)
class Wait:
    """One wait. Times are epoch seconds."""

    task: str  # "" for the job itself
    what: str  # for what
    start: float
    end: float | None  # None: it goes on
    seconds: float


def waits(job: JobRow, events: Mapping[TaskKey, Sequence[TaskEvent]], now: float) -> list[Wait]:
    """The waits of a job that are worth a word, in the order in which they began.

    Of a task's replicas the one that waited longest is told.

    Args:
        job: the job with its tasks.
        events: the workload manager's events, as far as they are known; without them a task's
            start stands for its allocation.
        now: epoch seconds.
    """
    found: dict[tuple[str, str], Wait] = {}
    for wait in _all(job, events, now):
        known = found.get((wait.task, wait.what))
        if wait.seconds >= WORTH and (known is None or wait.seconds > known.seconds):
            found[wait.task, wait.what] = wait
    return sorted(found.values(), key=lambda wait: wait.start)


def _all(job: JobRow, events: Mapping[TaskKey, Sequence[TaskEvent]], now: float) -> Iterator[Wait]:
    sent = [task.submitted for task in job.tasks if task.submitted is not None]
    if sent or job.state not in FINAL_JOB_STATES:
        end = min(sent) if sent else None
        yield _wait("", "for the agent to submit it", job.received, end, now)
    ends = _ends(job)
    for task in job.tasks:
        if task.submitted is not None:
            yield from _of_task(task, ends, events.get(task.key, ()), now)


def _of_task(
    task: TaskRow, ends: Mapping[str, float | None], events: Sequence[TaskEvent], now: float
) -> Iterator[Wait]:
    """For what comes first, then for resources."""
    assert task.submitted is not None  # noqa: S101 - the caller looked
    at = {event.name: event.at for event in reversed(events)}
    over = task.finished if task.state in FINAL_TASK_STATES else None
    begun = at.get("alloc", task.started)
    free = task.submitted
    if task.depends_on:
        done = [ends.get(name) for name in task.depends_on]
        known = None if None in done else max(float(end or 0.0) for end in done)
        until = at.get("depend", known)
        what = f"for {' and '.join(task.depends_on)} to end well"
        yield _wait(task.key.task, what, free, _first(until, over), now)
        if until is None:
            return
        free = max(free, until)
    yield _wait(task.key.task, "for free resources", free, _first(begun, over), now)


def _first(*times: float | None) -> float | None:
    known = [time for time in times if time is not None]
    return min(known) if known else None


def _ends(job: JobRow) -> dict[str, float | None]:
    """When the last replica of each task ended; None while one goes on."""
    ends: dict[str, float | None] = {}
    for task in job.tasks:
        known = ends.get(task.key.task, 0.0)
        both = known is not None and task.finished is not None
        ends[task.key.task] = max(known or 0.0, task.finished or 0.0) if both else None
    return ends


def _wait(task: str, what: str, start: float, end: float | None, now: float) -> Wait:
    return Wait(task, what, start, end, max((now if end is None else end) - start, 0.0))


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


#: What an event's context holds that a line has no room for.
_BULKY = frozenset({"R", "jobspec", "annotations"})


@dataclass(frozen=True)
class History:
    """All that is known of one job."""

    job: JobRow
    story: Sequence[StoryLine]
    reports: Sequence[ReportLine] = ()
    cancellation: Cancellation | None = None
    #: The workload manager's events of each task that it has, oldest first.
    events: Mapping[TaskKey, Sequence[TaskEvent]] = field(default_factory=dict)
    #: Why the workload manager's events are not there; "" when they are, or nobody asked.
    events_problem: str = ""


def history_of(ledger: Histories, key: JobKey) -> History | None:
    """What the ledger has of a job; None when it has no such job."""
    job = ledger.job(key)
    if job is None:
        return None
    return History(job, ledger.story(key), ledger.reports_of(key), ledger.cancellation_of(key))


def with_events(
    history: History, events: Mapping[TaskKey, Sequence[TaskEvent]], problem: str = ""
) -> History:
    """The history with the workload manager's own events, or with why they are not there."""
    return replace(history, events=events, events_problem=problem)


def explain_view(history: History, now: float) -> dict[str, Any]:
    """The `explain` object: the job, the cause and the cure, what it waited for, the time line.

    Args:
        history: what is known.
        now: epoch seconds; what is not over is measured up to it.
    """
    job = history.job
    task = culprit(job)
    over = job.state in FINAL_JOB_STATES and job.reason is not None
    return {
        "job": job_view(job),
        "summary": _summary(job, now),
        "cause": job.reason if over else None,
        "task": _who(task.key.task, task.key.replica) if task and over else None,
        "advice": advise(job),
        "waits": [_wait_view(wait) for wait in waits(job, history.events, now)],
        "timeline": timeline(history),
        "events_problem": history.events_problem or None,
    }


def timeline(history: History) -> list[dict[str, Any]]:
    """Everything that happened, by time: `time`, `source`, `task`, `replica`, `event`, `text`.

    `source` is `agent` (the ledger), the workload manager's events are `flux`, what was told to
    rainbow is `report`, what a person asked for is `person`.
    """
    lines: list[tuple[float, dict[str, Any]]] = []
    ids = {
        (task.key.task, task.key.replica): f58(task.flux_id)
        for task in history.job.tasks
        if task.flux_id is not None
    }
    for line in history.story:
        text = line.cause
        if line.now == TaskState.SUBMITTED.value and (found := ids.get(_place(line))):
            text = f"{text} ({found})"
        who = (line.task, line.replica)
        lines.append(_entry(line.at, "agent", line.now, text, who))
    for key, events in history.events.items():
        who = (key.task, key.replica)
        lines.extend(_entry(e.at, "flux", e.name, _context(e), who) for e in events)
    lines.extend(_report(report) for report in history.reports)
    if history.cancellation:
        asked = history.cancellation
        text = f"{asked.who} asked for its end" + (f": {asked.why}" if asked.why else "")
        lines.append(_entry(asked.at, "person", "cancel", text))
    # Stable: what several threads saw is written in the order in which they came to write.
    return [entry for _, entry in sorted(lines, key=lambda pair: pair[0])]


def _place(line: StoryLine) -> tuple[str, int]:
    return line.task or "", line.replica or 0


def _entry(
    at: float, source: str, event: str, text: str, who: tuple[str | None, int | None] = (None, None)
) -> tuple[float, dict[str, Any]]:
    return at, {
        "time": when(at),
        "source": source,
        "task": who[0],
        "replica": who[1],
        "event": event,
        "text": text,
    }


def _report(report: ReportLine) -> tuple[float, dict[str, Any]]:
    if report.problem is None:
        text = f"rainbow was told `{report.state}` and took it"
        return _entry(report.at, "report", "told", text)
    often = "" if report.times == 1 else f" ({report.times} times until {when(report.last)})"
    text = f"a report did not reach rainbow{often}: {report.problem}"
    return _entry(report.at, "report", "not told", text)


def _context(event: TaskEvent) -> str:
    """An event's context in one line."""
    pairs = {k: v for k, v in event.context.items() if k not in _BULKY and v not in ("", None)}
    text = " ".join(f"{name}={value}" for name, value in pairs.items())
    status = event.context.get("status")
    if event.name == "finish" and isinstance(status, int):
        text += f" (exit code {exit_code(status)})"
    return text


def _wait_view(wait: Wait) -> dict[str, Any]:
    return {
        "task": wait.task,
        "for": wait.what,
        "seconds": round(wait.seconds, 3),
        "from": when(wait.start),
        "to": None if wait.end is None else when(wait.end),
    }


def _summary(job: JobRow, now: float) -> str:
    """One sentence: which job, how it is, since when or how long it took."""
    name = f"job {job.key.id}" + (f" ({job.name})" if job.name else "")
    if job.finished is not None:
        ran = ago(max(job.finished - job.received, 0.0))
        return f"{name} is {job.state.value}, {ran} after it was received"
    return f"{name} is {job.state.value}, received {ago(max(now - job.received, 0.0))} ago"


def explain_text(view: Mapping[str, Any]) -> str:
    """The same for people: the cause first, then what to do, then the time line."""
    lines = [clean(str(view["summary"]))]
    if view["cause"]:
        who = f"task {view['task']}: " if view["task"] else ""
        lines.append(f"cause: {clean(who + str(view['cause']))}")
    if view["advice"]:
        lines.append(f"to do: {clean(str(view['advice']))}")
    lines += [f"waited: {clean(_wait_text(wait))}" for wait in view["waits"]]
    if view["events_problem"]:
        lines.append(f"note: {clean(str(view['events_problem']))}")
    lines += ["", *_lines(view["timeline"])]
    return "\n".join(lines).rstrip()


def _wait_text(wait: Mapping[str, Any]) -> str:
    who = f"{wait['task']}, " if wait["task"] else ""
    still = " so far" if wait["to"] is None else ""
    return f"{who}{ago(wait['seconds'])}{still} {wait['for']}"


def _lines(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """The time line: the date where it changes, then time, source, task and what happened."""
    found, day = [], ""
    for entry in entries:
        date, _, time = str(entry["time"]).partition("T")
        if date != day:
            found.append(date)
            day = date
        who = _who(entry["task"], entry["replica"])
        text = " ".join(part for part in (who, entry["event"], entry["text"]) if part)
        found.append(clean(f"{time[:12]}  {entry['source']:<6}  {text}"))
    return found


def _who(task: str | None, replica: int | None) -> str:
    """Whom a line is about: the job, all of a task, or one replica."""
    return str(task or "") if not replica else f"{task}[{replica}]"
