"""News of tasks in a group, as its runner writes them down and the agent reads them.

One entry of an eventlog a piece of news (RFC 18: timestamp, name, context), one line an entry:

    {"timestamp":1716000013.2,"name":"task","context":{"task":"train/fit","state":"running"}}

The runner writes to a log that outlives it (docs/decisions/0010): the agent may be down meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rainbow_agent.core.model import TaskChange, TaskKey
from rainbow_agent.core.states import TaskState

#: The name of the eventlog in a Flux job's guest namespace.
EVENTLOG = "rainbow.eventlog"
_EVENT_NAME = "task"
#: Characters of a cause or reason; the rest is cut off.
_MAX_TEXT_CHARS = 4096
_FIELD_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "cause": str,
    "flux_id": int,
    "exit_code": int,
    "reason": str,
    "started": (int, float),
    "finished": (int, float),
}
_FLAGS = ("unsatisfiable", "again")


def to_line(change: TaskChange) -> str:
    """One entry, with its newline."""
    context: dict[str, Any] = {"task": change.key.task, "state": change.state.value}
    if change.key.replica:
        context["replica"] = change.key.replica
    for name in (*_FIELD_TYPES, *_FLAGS):
        value = getattr(change, name)
        if value is not None and value is not False:
            context[name] = value
    entry = {"timestamp": change.at, "name": _EVENT_NAME, "context": context}
    return json.dumps(entry, separators=(",", ":")) + "\n"


def from_entry(group: TaskKey, entry: Any) -> TaskChange | None:
    """The news in an entry; None where it is none, or not about a task in this group.

    The log is the job's, and whatever runs in it can write there.
    """
    context = entry.get("context") if isinstance(entry, Mapping) else None
    if not isinstance(context, Mapping) or entry.get("name") != _EVENT_NAME:
        return None
    task, replica, at = context.get("task"), context.get("replica", 0), entry.get("timestamp")
    if not isinstance(task, str) or not task.startswith(f"{group.task}/"):
        return None
    if not isinstance(replica, int) or not _storable(replica) or not _storable(at):
        return None
    if _text(task) != task:
        return None
    try:
        state = TaskState(context.get("state"))
    except ValueError:
        return None
    facts: dict[str, Any] = {name: context.get(name) is True for name in _FLAGS}
    facts |= {
        n: _text(context[n]) if kind is str else context[n]
        for n, kind in _FIELD_TYPES.items()
        if isinstance(context.get(n), kind) and (kind is str or _storable(context[n]))
    }
    return TaskChange(
        TaskKey(group.job, task, replica),
        state,
        float(at),
        inside=True,
        **{"cause": state.value, **facts},
    )


def _text(value: str) -> str:
    """Text that a ledger can hold, of a length for people: a job may write anything there."""
    return value[:_MAX_TEXT_CHARS].encode("utf-8", "replace").decode()


def _storable(value: object) -> bool:
    """Whether it is a number that a ledger can hold."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return -(2**63) <= value < 2**63  # no NaN, either


def label(key: TaskKey) -> str:
    """What stands before each line of a task in its group's output."""
    return f"{key.task}[{key.replica}]: " if key.replica else f"{key.task}: "


def left_behind(group: TaskChange, key: TaskKey, was: TaskState) -> TaskChange:
    """What becomes of a task whose group is over without having reported its end.

    Args:
        group: the end of the group.
        key: the task in it.
        was: its state.
    """
    # Of a group that is lost the last news never came: what was pending may have begun as well.
    begun = was in (TaskState.SUBMITTED, TaskState.RUNNING) or group.state is TaskState.LOST
    reason = f"its group {group.key.task} is over ({group.reason or group.cause})"
    if begun:
        reason += " and never reported what became of it"
    # Canceling a group ends all that is in it, whether its runner can still report it or not.
    lost = begun and group.state is not TaskState.CANCELED
    state = TaskState.LOST if lost else TaskState.CANCELED
    return TaskChange(key, state, group.at, reason, reason=reason, finished=group.at, inside=True)
