"""A job's whole story in one time line: why it is where it is, and what to do next. Pure.

What the ledger has of a job, and the workload manager's own events where it can be asked, become
one object (docs/commands.md), and that becomes text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from rainbow_agent.core.model import Cancellation, JobKey, JobRow, ReportLine, StoryLine, TaskKey
from rainbow_agent.core.notation import exit_code, f58
from rainbow_agent.core.states import FINAL_JOB_STATES, JobState, TaskState
from rainbow_agent.core.workload_values import TaskEvent
from rainbow_agent.monitoring.blame import in_names
from rainbow_agent.monitoring.blocked import Blocked
from rainbow_agent.monitoring.ports import Histories
from rainbow_agent.monitoring.remedies import culprit, of_message, remedy
from rainbow_agent.monitoring.views import ago, held_back, job_view
from rainbow_agent.monitoring.wait_times import WaitTime, wait_times
from rainbow_agent.runtime.logs import clean, when

#: What a source is called for people, if not as in JSON.
_SHOWN_SOURCES = {"flux": "workload", "local": "workload"}
#: How a job ended, in a sentence.
_ENDED = {
    state: state.value if state in (JobState.COMPLETED, JobState.FAILED) else f"was {state.value}"
    for state in FINAL_JOB_STATES
}
#: Parts of an event's context that are too long for a line.
_LONG_PARTS = frozenset({"R", "jobspec", "annotations"})


@dataclass(frozen=True)
class History:
    """All that is known of one job."""

    job: JobRow
    story: Sequence[StoryLine]
    reports: Sequence[ReportLine] = ()
    cancellation: Cancellation | None = None
    #: The workload manager's events of each task that it has, oldest first.
    events: Mapping[TaskKey, Sequence[TaskEvent]] = field(default_factory=dict)
    #: Which workload manager that is: flux or local.
    manager: str = "flux"
    #: What the job shell complained of about each task, oldest first, without what ended it.
    complaints: Mapping[TaskKey, Sequence[TaskEvent]] = field(default_factory=dict)
    #: Why the workload manager's events are missing; "" when they are there, or were not asked for.
    events_problem: str = ""
    #: What keeps it from moving now.
    blocked: Blocked = field(default_factory=Blocked)


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
    """The `explain` object: the job, the cause, what to do, what it waited for, the time line.

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
        "cause": in_names((task.reason if task else None) or job.reason, job) if over else None,
        "task": _who(task.key.task, task.key.replica) if task and over else None,
        "advice": remedy(job) or _until_nodes_are_up(job) or history.blocked.advice or None,
        "notes": _notes(history),
        "waits": [_wait_view(wait) for wait in _waits(history, now)],
        "timeline": timeline(history),
        "events_problem": history.events_problem or None,
    }


def _until_nodes_are_up(job: JobRow) -> str | None:
    """What to do about a task that waits for nodes."""
    task = held_back(job)
    if task is None:
        return None
    undrain = "flux resource undrain NODE"
    group = next((each for each in job.tasks if each.key.task == task.group), None)
    if group and group.flux_id is not None and group.group is None:
        undrain = f"flux proxy {f58(group.flux_id)} {undrain}"
    return (
        f"nothing: it runs when they are up. `{undrain}` ends a drain;"
        f" `rainbow-agent cancel {job.key.id}` ends the wait"
    )


def _notes(history: History) -> list[dict[str, Any]]:
    """What a job shell complained of and went on: each once a task, with what to do."""
    return [
        {"task": _who(key.task, key.replica), "text": text, "advice": of_message(text)}
        for key, said in history.complaints.items()
        for text in dict.fromkeys(str(each.context["message"]) for each in said)
    ]


def _waits(history: History, now: float) -> list[WaitTime]:
    return wait_times(history.job, history.events, now, history.blocked, history.story)


def timeline(history: History) -> list[dict[str, Any]]:
    """Everything that happened, by time: `time`, `source`, `task`, `replica`, `event`, `text`.

    `source` is `agent` (the ledger), `flux` or `local` (events of that workload manager), `report`
    (what was reported to rainbow) or `person` (what somebody asked for).
    """
    lines: list[tuple[float, dict[str, Any]]] = []
    ids = {
        (task.key.task, task.key.replica): f58(task.flux_id)
        for task in history.job.tasks
        if task.flux_id is not None
    }
    last = {_place(each): each for each in history.story if each.now == TaskState.SUBMITTED.value}
    for line in history.story:
        text = in_names(line.cause, history.job) or ""
        # A job before this one, which was denied or lost, had another id.
        if last.get(_place(line)) is line and (found := ids.get(_place(line))):
            text = f"({found})" if text == line.now else f"{text} ({found})"
        who = (line.task, line.replica)
        lines.append(_entry(line.at, "agent", line.now, text, who))
    for key, events in history.events.items():
        who = (key.task, key.replica)
        lines.extend(_entry(e.at, history.manager, e.name, _context(e), who) for e in events)
    for key, events in history.complaints.items():
        who = (key.task, key.replica)
        lines.extend(
            _entry(e.at, history.manager, e.name, e.context["message"], who) for e in events
        )
    lines.extend(_report(report) for report in history.reports)
    if history.cancellation:
        asked = history.cancellation
        text = f"{asked.who} asked for its cancellation" + (f": {asked.why}" if asked.why else "")
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
        text = f"rainbow accepted the report of `{report.state}`"
        return _entry(report.at, "report", "reported", text)
    often = "" if report.times == 1 else f" ({report.times} times until {when(report.last)})"
    text = f"a report did not reach rainbow{often}: {report.problem}"
    return _entry(report.at, "report", "not reported", text)


def _context(event: TaskEvent) -> str:
    """An event's context in one line."""
    pairs = {k: v for k, v in event.context.items() if k not in _LONG_PARTS and v not in ("", None)}
    text = " ".join(f"{name}={value}" for name, value in pairs.items())
    status = event.context.get("status")
    if event.name == "finish" and isinstance(status, int):
        text += f" (exit code {exit_code(status)})"
    return text


def _wait_view(wait: WaitTime) -> dict[str, Any]:
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
        return f"{name} {_ENDED.get(job.state, job.state.value)} {ran} after it was received"
    return f"{name} is {job.state.value}, received {ago(max(now - job.received, 0.0))} ago"


def explain_text(view: Mapping[str, Any]) -> str:
    """The same for people: the cause first, then what to do, then the time line."""
    lines = [clean(str(view["summary"]))]
    if view["cause"]:
        who = f"task {view['task']}: " if view["task"] else ""
        lines.append(f"cause: {clean(who + str(view['cause']))}")
    if view["advice"]:
        lines.append(f"to do: {clean(str(view['advice']))}")
    lines += [clean(f"note: task {_note_text(note)}") for note in view["notes"]]
    lines += [f"waited: {clean(_wait_text(wait))}" for wait in view["waits"]]
    if view["events_problem"]:
        lines.append(f"note: {clean(str(view['events_problem']))}")
    lines += ["", *_lines(view["timeline"])]
    return "\n".join(lines).rstrip()


def _note_text(note: Mapping[str, Any]) -> str:
    advice = f" ({note['advice']})" if note["advice"] else ""
    return f"{note['task']}: {note['text']}{advice}"


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
        who, source = _who(entry["task"], entry["replica"]), str(entry["source"])
        text = " ".join(part for part in (who, entry["event"], entry["text"]) if part)
        found.append(clean(f"{time[:12]}  {_SHOWN_SOURCES.get(source, source):<8}  {text}"))
    return found


def _who(task: str | None, replica: int | None) -> str:
    """Whom a line is about: the job, all of a task, or one replica."""
    return str(task or "") if not replica else f"{task}[{replica}]"
